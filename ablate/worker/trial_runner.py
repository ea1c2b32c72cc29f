"""The trainer's trial runner: where a request becomes a result, with everything that trials share laid ready."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ablate import settings
from ablate.ecg.cohort import Cohort, open_cohort
from ablate.ecg.split import TaskData, load_task
from ablate.model.encoder import EncoderSpec
from ablate.store.artifact import TEST_FOLD
from ablate.train.machine import Machine, Precision
from ablate.train.outcome import Outcome, Progress
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, fingerprint, post_train
from ablate.worker.message import TrialRequest

_N_KEPT = 4  # cohorts or tasks; a study has one, or two when it confirms


class TrialRunner:
    """Keeps the mapped cohort, the task's labels and the feature cache between trials."""

    def __init__(self, *, device: str, n_threads: int) -> None:
        self._machine = Machine(device=device, n_threads=n_threads)
        self._cohorts: dict[Path, Cohort] = {}
        self._tasks: dict[tuple[Path, str, bool], TaskData] = {}
        self._features = FeatureCache(settings.home() / "features")

    @property
    def gpu(self) -> str:
        """What its maker calls the device; empty for the processor."""
        device = self._machine.device
        return torch.cuda.get_device_name(device) if device.startswith("cuda") else ""

    def fill(
        self, request: TrialRequest, *, report: Callable[[Progress], None], stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Train as ``request`` says; the result and its artifacts as the store keeps them.

        Raises:
            Stopped: ``stop()`` was true.
            TrialError: the trial cannot be finished.
            DataError: the cohort cannot be used on this machine.
            CheckpointError: the encoder cannot be used.
        """
        cohort, data = self._cohort(request.cohort), self._task(request)
        outcome = post_train(
            _encoder(request),
            data,
            Params.from_dict(request.params),
            seed=request.seed,
            machine=self._machine_for(request),
            report=report,
            features=self._features,
            checkpoint=request.checkpoint,
            stop=stop,
            rungs=request.rungs,
        )
        artifacts = _probabilities(outcome)
        if request.test_fold and data.test_labels is not None:
            artifacts[TEST_FOLD] = _test_fold(cohort, data)
        return outcome.document(), artifacts

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
        params, machine = Params.from_dict(request.params), self._machine_for(request)
        found = fingerprint(_encoder(request), data, params, seed=request.seed, machine=machine)
        return found if found in request.known else None

    def _machine_for(self, request: TrialRequest) -> Machine:
        precision = cast(Precision, request.encoder["precision"])
        return replace(self._machine, precision=precision, micro_batch=request.micro_batch)

    def _cohort(self, folder: Path) -> Cohort:
        if folder not in self._cohorts:
            _make_room(self._cohorts)
            self._cohorts[folder] = open_cohort(folder)
        return self._cohorts[folder]

    def _task(self, request: TrialRequest) -> TaskData:
        """The labels of the task; those of the test fold only where the request brings a permit of its own."""
        key = (request.cohort, request.task, request.permit is not None)
        if key not in self._tasks:
            _make_room(self._tasks)
            self._tasks[key] = load_task(self._cohort(request.cohort), request.task, permit=request.permit)
        return self._tasks[key]


def _encoder(request: TrialRequest) -> EncoderSpec:
    return EncoderSpec(request.encoder["name"], request.encoder["weights"])


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _N_KEPT:
        del kept[next(iter(kept))]


def _probabilities(outcome: Outcome) -> dict[str, bytes]:
    found = {"val.npz": outcome.val_probabilities, "test.npz": outcome.test_probabilities}
    return {name: _npz(probabilities=array.astype(np.float32)) for name, array in found.items() if array is not None}


def _test_fold(cohort: Cohort, data: TaskData) -> bytes:
    return _npz(
        ecg_id=cohort.ecg_id[data.test_rows],
        patient_id=data.test_patients,
        labels=np.asarray(data.test_labels),
        classes=np.array(data.classes),
    )


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
