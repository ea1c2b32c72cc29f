"""What is set on a GPU, what is told about it, and which differences keep a checkpoint from being used."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pretended_gpu import Gpu, pretended_gpu

from ablate.ecg.split import TaskData
from ablate.model.catalogue import EncoderSpec
from ablate.outcome import Progress
from ablate.train import numerics
from ablate.train.params import Params
from ablate.train.routine import Machine, Stopped, fingerprint, post_train

PARAMS = Params(data_fraction=0.5, ft_epochs=2, batch_size=8, drop_path_rate=0.3, drop_path_mode="fixed")
GPU = Machine(device="cuda")


def settings() -> tuple[object, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def test_what_is_declared_is_set_within_a_trial_and_put_back(gpu: Gpu, spec: EncoderSpec, data: TaskData) -> None:
    before, within = settings(), []

    def look(_: Progress) -> None:
        within.append(settings())

    post_train(spec, data, PARAMS, seed=3, machine=GPU, report=look)
    assert set(within) == {(False, False, False, False, True, True, False)}
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == numerics.CUBLAS_WORKSPACE
    assert settings() == before


def test_an_operation_without_a_deterministic_form_is_a_note_and_no_failure(
    gpu: Gpu, spec: EncoderSpec, data: TaskData
) -> None:
    gpu.undeterministic.add("aten.index_add.default")
    outcome = post_train(spec, data, PARAMS, seed=3, machine=GPU)
    assert sum("index_add.default has no deterministic form on cuda" in note for note in outcome.notes) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setitem(numerics.DECLARED, "tf32", True),
        lambda patch: patch.setattr(torch.cuda, "get_device_name", lambda *_: "Another GPU"),
    ],
    ids=["numerics", "kind of GPU"],
)
def test_a_trial_does_not_go_on_with_other_numerics_or_on_another_kind_of_gpu(
    spec: EncoderSpec,
    data: TaskData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    reports: list[Progress] = []
    with pretended_gpu():
        before = fingerprint(spec, data, PARAMS, seed=3, machine=GPU)
        with pytest.raises(Stopped):
            post_train(
                spec, data, PARAMS, seed=3, machine=GPU, checkpoint=tmp_path / "trial", report=reports.append,
                stop=lambda: reports != [],
            )  # fmt: skip
        change(monkeypatch)
        assert fingerprint(spec, data, PARAMS, seed=3, machine=GPU) != before
        outcome = post_train(spec, data, PARAMS, seed=3, machine=GPU, checkpoint=tmp_path / "trial")
    assert "belongs to other params" in outcome.notes[0]
