"""The trainer's trial runner: where a request becomes a result, with everything that trials share laid ready."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablate import settings
from ablate.ecg.cohort import Cohort, open_cohort
from ablate.ecg.source import EXTERNAL_OFFSET
from ablate.ecg.split import TaskData, load_task
from ablate.errors import LaunchError, SpecError
from ablate.outcome import Outcome, Progress
from ablate.store.result import to_npz
from ablate.train import own_routine
from ablate.train.device_error import is_short_of_memory
from ablate.train.machine import Machine
from ablate.train.own_routine import train_own
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, fingerprint, post_train
from ablate.worker.message import TrialRequest

_N_KEPT = 16  # cohorts or tasks: mapped files and labels, which take little


class TrialRunner:
    """Keeps the mapped cohort, the task's labels and the feature cache between trials."""

    def __init__(self, *, device: str, n_threads: int) -> None:
        self._machine = Machine(device=device, n_threads=n_threads)
        self._cohorts: dict[Path, Cohort] = {}
        self._tasks: dict[tuple[Path, str, float | None, bool], TaskData] = {}
        self._features = FeatureCache(settings.home() / "features")

    def gpu(self) -> tuple[str, str]:
        """What its maker calls the device and what tells it from all others, both empty for the processor.

        Raises:
            LaunchError: it cannot be used.
        """
        device = self._machine.device
        if not device.startswith("cuda"):
            return "", ""
        try:
            properties = torch.cuda.get_device_properties(device)
            torch.zeros(1, device=device)  # makes the context, which is where a driver or a full GPU refuses
        except (RuntimeError, AssertionError) as error:
            raise LaunchError(f"--device {device}: {_why_unusable(error)}") from error
        return str(properties.name), str(getattr(properties, "uuid", ""))

    def fill(self, request: TrialRequest, *, report: Callable[[Progress], None], stop: Callable[[], bool]) -> Outcome:
        """Train as ``request`` says.

        Raises:
            Stopped: ``stop()`` was true.
            TrialError: the trial cannot be finished.
            DataError: the cohort cannot be used on this machine.
            CheckpointError: the encoder cannot be used.
            SpecError: the routine's code cannot be used.
        """
        if request.routine is not None:
            return train_own(
                request.routine,
                self._task(replace(request, permit=None)),
                request.params,
                seed=request.seed,
                machine=self._machine,
                report=report,
                stop=stop,
                sealed=None if request.permit is None else partial(self._read_task, request),
                log=request.log,
            )
        assert request.encoder is not None
        return post_train(
            request.encoder,
            self._task(request),
            Params.from_dict(request.params),
            seed=request.seed,
            machine=self._machine_for(request),
            report=report,
            features=self._features,
            checkpoint=request.checkpoint,
            stop=stop,
            rungs=request.rungs,
            keep_weights=request.keep_weights,
        )

    def test_fold(self, request: TrialRequest) -> bytes | None:
        """The test fold's labels as the store keeps them; None where the request brings no permit."""
        data = self._task(request)
        if data.test_labels is None:
            return None
        return to_npz(
            ecg_id=self._cohort(request.cohort).ecg_id[data.test_rows],
            patient_id=data.test_patients,
            labels=np.asarray(data.test_labels),
            classes=np.array(data.classes),
            **self._external(request, data),
        )

    def _external(self, request: TrialRequest, data: TaskData) -> dict[str, np.ndarray]:
        """The same of the external test set; nothing where the study has none."""
        if data.external is None:
            return {}
        ecg_id = self._cohort(request.cohort).ecg_id[data.external.rows] - EXTERNAL_OFFSET
        named = {"ecg_id": ecg_id, "patient_id": data.external.patients, "labels": np.asarray(data.external.labels)}
        return {f"external_{name}": array for name, array in named.items()}

    def recognise(self, request: TrialRequest) -> str | None:
        """Fingerprint of the trial where it is one that the request knows; the test fold stays closed.

        Raises:
            SpecError: the device is not there.
            DataError: the cohort cannot be used on this machine.
            CheckpointError: the encoder cannot be used.
        """
        if not request.known:
            return None
        data = self._task(replace(request, permit=None))
        if request.routine is not None:
            identity = own_routine.fingerprint(
                request.routine, data, request.params, seed=request.seed, machine=self._machine
            )
            return identity if identity in request.known else None
        assert request.encoder is not None
        params, machine = Params.from_dict(request.params), self._machine_for(request)
        identity = fingerprint(request.encoder, data, params, seed=request.seed, machine=machine)
        return identity if identity in request.known else None

    def _machine_for(self, request: TrialRequest) -> Machine:
        assert request.encoder is not None
        device, precision = self._machine.device, request.encoder.precision
        if precision == "bf16" and device.startswith("cuda") and not torch.cuda.is_bf16_supported(False):
            name = torch.cuda.get_device_name(device)
            raise SpecError(f"encoder.precision = bf16: {device} ({name}) does not compute in it; use fp32")
        return replace(self._machine, precision=precision, micro_batch=request.micro_batch)

    def _cohort(self, folder: Path) -> Cohort:
        if folder not in self._cohorts:
            _make_room(self._cohorts)
            self._cohorts[folder] = open_cohort(folder)
        return self._cohorts[folder]

    def _task(self, request: TrialRequest) -> TaskData:
        """The labels of the task; those of the test fold only where the request brings a permit of its own.

        Beside a routine of the user's own, nothing of the test fold is kept.
        """
        if request.routine is not None and request.permit is not None:
            return self._read_task(request)
        key = (request.cohort, request.task, request.window_s, request.permit is not None)
        if key not in self._tasks:
            _make_room(self._tasks)
            self._tasks[key] = self._read_task(request)
        return self._tasks[key]

    def _read_task(self, request: TrialRequest) -> TaskData:
        cohort = self._cohort(request.cohort)
        return load_task(cohort, request.task, permit=request.permit, window_s=request.window_s)


def _why_unusable(error: Exception) -> str:
    """One line: what is wrong with the GPU, and what to do."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built for the processor; install its build for CUDA, or use cpu"
    if is_short_of_memory(error):
        return "its memory is full of somebody else's work; wait, or choose another GPU (`nvidia-smi` says whose)"
    said = " ".join(str(error).strip().partition("\n")[0].split())
    return f"cannot be used ({said}); `ablate doctor` and `nvidia-smi` say more"


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _N_KEPT:
        del kept[next(iter(kept))]
