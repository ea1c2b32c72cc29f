"""Memory of the device: what holds it, what gives it back, and what happens when it is short."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretended_gpu import CUDA, Gpu
from torch import Tensor

from ablate.ecg.split import TaskData
from ablate.errors import OutOfMemory
from ablate.model.catalogue import EncoderSpec
from ablate.train import signals as signals_module
from ablate.train.finetune import FineTune
from ablate.train.params import Params
from ablate.train.routine import Machine, post_train
from ablate.train.signals import Rows, Signals

PARAMS = Params(data_fraction=0.5, ft_epochs=1, batch_size=8)
GPU = Machine(device="cuda")


@pytest.fixture(autouse=True)
def _nothing_held() -> None:
    signals_module.release()


def first(signals: Signals) -> float:
    return float(signals.batch(signals.rows(np.array([0])))[0, 0, 0].cpu())


def test_a_cohort_is_copied_once_and_another_takes_its_place(gpu: Gpu) -> None:
    one, other = (np.full((50, 2, 100), value, np.float16) for value in (1, 2))
    assert first(Signals(one, device=CUDA)) == first(Signals(one, device=CUDA)) == 1
    assert gpu.used == one.nbytes
    assert first(Signals(other, device=CUDA)) == 2
    assert gpu.used == other.nbytes


def test_parts_of_one_file_and_a_new_array_at_an_old_address_have_records_of_their_own(
    gpu: Gpu, tmp_path: Path
) -> None:
    stored = np.arange(6, dtype=np.float16).reshape(6, 1, 1)
    np.save(tmp_path / "records.npy", stored)
    mapped = np.load(tmp_path / "records.npy", mmap_mode="r")
    assert [first(Signals(part, device=CUDA)) for part in (mapped[:3], mapped[3:], mapped[:3])] == [0, 3, 0]
    for value in range(20):  # numpy gives the place of the array before
        assert first(Signals(np.full((3, 1, 1), value, np.float16), device=CUDA)) == value
    np.save(tmp_path / "records.npy", stored + 1)
    assert first(Signals(np.load(tmp_path / "records.npy", mmap_mode="r")[:3], device=CUDA)) == 1


def test_records_that_no_longer_fit_when_they_are_copied_are_streamed(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hog(*_: object) -> object:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(signals_module, "_copied", hog)
    streamed = Signals(np.full((3, 1, 1), 7, np.float16), device=CUDA)
    assert streamed.note is not None and "copied from the machine's memory" in streamed.note
    assert first(streamed) == 7


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Unable to find an engine to execute this computation"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_everything_is_released_before_the_next_attempt(
    gpu: Gpu, spec: EncoderSpec, data: TaskData, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def short(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", short)
        with pytest.raises(OutOfMemory) as caught:
            post_train(spec, data, PARAMS, seed=3, machine=GPU)
        assert gpu.used == 0, "while the error is still looked at"
    assert str(error)[:15] in str(caught.value)
    post_train(spec, data, PARAMS, seed=3, machine=replace(GPU, micro_batch=4))


def test_a_full_device_says_so_and_half_the_micro_batch_fits(gpu: Gpu, spec: EncoderSpec, data: TaskData) -> None:
    peaks = {}
    for micro_batch in (None, 4):
        gpu.peak = 0
        post_train(spec, data, PARAMS, seed=3, machine=replace(GPU, micro_batch=micro_batch))
        peaks[micro_batch] = gpu.peak
        signals_module.release()
    gpu.capacity = (peaks[None] + peaks[4]) // 2
    with pytest.raises(OutOfMemory, match="the whole batch"):
        post_train(spec, data, PARAMS, seed=3, machine=GPU)
    post_train(spec, data, PARAMS, seed=3, machine=replace(GPU, micro_batch=4))


def test_scoring_takes_no_more_than_four_times_the_records_of_training(
    gpu: Gpu, spec: EncoderSpec, data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[bool, int]] = []
    logits = FineTune._logits

    def noted(self: FineTune, rows: Rows, places: Tensor | None = None) -> Tensor:
        sizes.append((self.model.training, len(rows)))
        return logits(self, rows, places)

    monkeypatch.setattr(FineTune, "_logits", noted)
    post_train(spec, data, PARAMS, seed=3, machine=replace(GPU, micro_batch=1))
    assert max(n for is_training, n in sizes if is_training) == 1
    assert max(n for is_training, n in sizes if not is_training) == 4
