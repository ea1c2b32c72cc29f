"""A pilot: trainers whose results are discarded, side by side on one device, to learn how many to run on it.

They run the study's own routine on its own records, so what is measured is what its trials do. Nothing is kept.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ablate.ecg.preparation import open_cohort
from ablate.ecg.seal import forbid_sealed_reads
from ablate.ecg.split import load_task
from ablate.errors import AblateError, OutOfMemory, TrialError
from ablate.model.catalogue import EncoderSpec
from ablate.train.machine import Machine, device_memory
from ablate.train.params import Params
from ablate.train.routine import post_train
from ablate.worker.fork_server import ForkServer

ENTRY = "ablate.worker.packing_pilot:main"
EVERY_S = 0.2  # between two signs


@dataclass(frozen=True, kw_only=True)
class PilotRequest:
    """What is trained.

    Attributes:
        cohort: folder of the prepared arrays.
        window_s: seconds that the encoder takes at once; None is the whole record.
        params: of the trials; they fine-tune.
    """

    encoder: EncoderSpec
    cohort: Path
    task: str
    params: Mapping[str, Any]
    window_s: float | None = None


@dataclass(frozen=True)
class Sign:
    """A pilot trainer's sign of life.

    Attributes:
        at: seconds on the clock that all processes of a machine share.
        n_steps: optimizer steps that the device has finished; validation costs less and would flatter a crowd.
        free_bytes: of the device, for whomever.
    """

    at: float
    n_steps: int
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Refusal:
    """Why a pilot trainer ended.

    Attributes:
        kind: name of the exception.
    """

    kind: str
    message: str


def main(*, connection: Connection, fork_server: ForkServer, request: PilotRequest, device: str, n_threads: int) -> int:
    """Train until whoever measures hangs up."""
    fork_server.close()
    forbid_sealed_reads()
    try:
        _train(connection, request, Machine(device=device, n_threads=n_threads, precision=request.encoder.precision))
    except OSError:  # they hung up
        os._exit(0)
    except AblateError as error:
        with contextlib.suppress(OSError):
            connection.send(Refusal(type(error).__name__, str(error)))
    return 0


def _train(connection: Connection, request: PilotRequest, machine: Machine) -> None:
    n_steps, told_at = 0, 0.0

    def count() -> bool:
        """Called before every batch, where a trial is asked whether it should stop; only training needs gradients."""
        nonlocal n_steps, told_at
        if time.monotonic() - told_at >= EVERY_S:
            if machine.torch_device.type == "cuda":
                torch.cuda.synchronize(machine.torch_device)  # what is queued is not done
            free, total = device_memory(machine.torch_device)
            told_at = time.monotonic()
            connection.send(Sign(told_at, n_steps, free, total))
        n_steps += torch.is_grad_enabled()
        return False

    data = load_task(open_cohort(request.cohort), request.task, window_s=request.window_s)
    for seed in itertools.count():
        try:
            post_train(request.encoder, data, Params.from_dict(request.params), seed=seed, machine=machine, stop=count)
        except OutOfMemory:
            raise
        except TrialError:  # it diverged, which is as fast
            continue
