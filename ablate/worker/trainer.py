"""The trainer: a process that fills slots one after another and keeps what they share.

It knows neither store nor study. Between trials it stays warm: torch, the mapped cohort, encoder weights and cached
features remain. A thread listens to the agent: at the end of the connection the process ends, so a trainer never
outlives its agent. SIGTERM and SIGUSR1 (pre-emption) stop the trial at its next checkpoint, like a ``Halt``.
"""

import os
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from ablate.ecg.seal import forbid_sealed_reads
from ablate.errors import AblateError, LaunchError, TrialError
from ablate.outcome import OWN_STAGE, Progress
from ablate.train import provenance
from ablate.train.device_error import is_dead_context
from ablate.train.trial import Stopped
from ablate.worker.fork_server import ForkServer
from ablate.worker.message import (
    Failed,
    Filled,
    FromTrainer,
    Halt,
    Halted,
    Progressed,
    Ready,
    Recognised,
    TrialRequest,
    Unusable,
)
from ablate.worker.trial_runner import TrialRunner


def main(*, connection: Connection, fork_server: ForkServer, device: str = "cpu", n_threads: int = 1) -> int:
    """Fill the slots that the agent at the other end of ``connection`` asks for, until it hangs up."""
    fork_server.close()
    forbid_sealed_reads()
    Trainer(connection, TrialRunner(device=device, n_threads=n_threads)).serve()
    return 0


def warm_up() -> None:
    """What every trainer would do again: done once in the fork server, its children inherit it."""
    provenance.code_version()
    provenance.environment()
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # the first one imports for a second; it starts no thread


class Trainer:
    """One trial at a time."""

    def __init__(self, connection: Connection, trial_runner: TrialRunner) -> None:
        self._connection = connection
        self._trial_runner = trial_runner
        self._requests: queue.SimpleQueue[TrialRequest] = queue.SimpleQueue()
        self._halted: set[int] = set()  # tickets
        self._preempted = threading.Event()

    def serve(self) -> None:
        """Answer every request with ``Filled``, ``Recognised``, ``Halted`` or ``Failed``; ends when the GPU is lost."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the agent decides what Ctrl-C means
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda *_: self._preempted.set())
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        try:
            gpu, gpu_id = self._trial_runner.gpu()
        except LaunchError as error:
            self._send(Unusable(str(error)))
            return
        code, version, environment = provenance.CODE_DIGEST, provenance.code_version(), provenance.environment()
        self._send(Ready(code, version, environment, gpu, gpu_id))
        while True:
            since = time.monotonic()
            request = self._requests.get()
            reply = self._fill(request, idle_s=time.monotonic() - since)
            self._send(reply)
            if isinstance(reply, Failed) and reply.at_fault == "device":
                return  # whatever this process asked of its GPU would fail

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, TrialRequest):
                    self._requests.put(message)
                elif isinstance(message, Halt):
                    self._halted.add(message.ticket)
        except (EOFError, OSError):
            os._exit(0)  # the agent has gone

    def _fill(self, request: TrialRequest, *, idle_s: float) -> FromTrainer:  # noqa: PLR0911 - one for each ending
        def stop() -> bool:
            return request.ticket in self._halted or self._preempted.is_set()

        try:
            fingerprint = self._trial_runner.recognise(request)
            if fingerprint is not None:
                return Recognised(request.ticket, fingerprint)
            outcome = self._trial_runner.fill(request, report=partial(self._report, request), stop=stop)
            test_fold = self._trial_runner.test_fold(request) if request.test_fold else None
            return Filled(request.ticket, replace(outcome, idle_s=idle_s), test_fold)
        except Stopped:
            return Halted(request.ticket)
        except TrialError as error:
            return Failed(request.ticket, type(error).__name__, str(error))
        except MemoryError:
            return Failed(request.ticket, "OutOfMemory", "the machine ran out of memory")
        except AblateError as error:
            return Failed(request.ticket, type(error).__name__, str(error), at_fault="machine")
        except Exception as error:
            if is_dead_context(error):
                said = " ".join(str(error).strip().partition("\n")[0].split())
                return Failed(request.ticket, type(error).__name__, said, at_fault="device")
            traceback.print_exc(file=sys.stderr)
            return Failed(request.ticket, type(error).__name__, _where(error))
        finally:
            self._preempted.clear()

    def _report(self, request: TrialRequest, progress: Progress) -> None:
        if request.routine is not None:
            stages: tuple[str, ...] = (OWN_STAGE,)
        else:
            stages = ("finetune", "test") if request.params.get("ft_epochs") else ("probe", "test")
        last = progress.stage in stages and progress.epoch >= progress.n_epochs - 1
        self._send(Progressed(request.ticket, progress, last))

    def _send(self, message: FromTrainer) -> None:
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)  # the agent has gone


def _where(error: Exception) -> str:
    """The error with the last line of ours that it passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "ablate" in frame.filename]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{error}{place}"
