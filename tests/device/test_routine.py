"""The whole routine where tensors lie on a GPU: every component, against the processor's scores."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretended_gpu import Gpu, MixedDevices, pretended_gpu
from torch import Tensor

from ablate.ecg.split import TaskData
from ablate.model import catalogue
from ablate.model.catalogue import EncoderSpec
from ablate.model.drop_path import DropPath
from ablate.model.net1d import Net1D
from ablate.outcome import Outcome, Progress
from ablate.pretrain.training import Contrastive, Schedule, pretrain_contrastive
from ablate.train.early_stopping import Rungs
from ablate.train.epoch_plan import Batch
from ablate.train.finetune import FineTune
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Machine, Stopped, post_train

TUNED = Params(data_fraction=0.5, ft_epochs=2, batch_size=8, dropout=0.0, drop_path_rate=0.3)
BOTH = replace(TUNED, probe_epochs=2, probe_lr=0.02)
GPU = Machine(device="cuda")


def bits(outcome: Outcome) -> tuple[object, ...]:
    assert outcome.test_probabilities is not None
    curve = [(p.stage, p.epoch, p.val_auroc, p.train_loss) for p in outcome.epochs]
    return curve, outcome.val_probabilities.tobytes(), outcome.test_probabilities.tobytes()


def notes(outcome: Outcome) -> list[str]:
    """But for what so few records make necessary."""
    return [note for note in outcome.notes if not note.startswith("classes without a score")]


def gap(one: Outcome, other: Outcome) -> float:
    return float(np.abs(one.val_probabilities - other.val_probabilities).max())


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
@pytest.mark.parametrize(
    "machine",
    [GPU, replace(GPU, hold_data=False), replace(GPU, precision="bf16"), replace(GPU, micro_batch=5)],
    ids=["held", "streamed", "bf16", "micro-batches"],
)
def test_every_arm_gives_the_processors_scores(
    gpu: Gpu, spec: EncoderSpec, data: TaskData, mode: str, machine: Machine
) -> None:
    params = replace(TUNED, drop_path_mode=mode)
    here = post_train(spec, data, params, seed=3, machine=replace(machine, device="cpu"))
    there = post_train(spec, data, params, seed=3, machine=machine)
    assert gap(here, there) < (0.05 if machine.precision == "bf16" else 1e-4)
    assert there.device == "cuda" and notes(there) == []


@pytest.mark.parametrize("name", ["net1d_small", "vit_small"])
@pytest.mark.parametrize("hold_data", [True, False])
def test_a_probe_on_kept_features_and_through_the_encoder(
    gpu: Gpu, data: TaskData, tmp_path: Path, name: str, hold_data: bool
) -> None:
    spec, machine = EncoderSpec(name, "random"), replace(GPU, hold_data=hold_data)
    here = post_train(spec, data, BOTH, seed=3)
    through = post_train(spec, data, BOTH, seed=3, machine=machine)
    kept = post_train(spec, data, BOTH, seed=3, machine=machine, features=FeatureCache(tmp_path))
    assert gap(here, through) < 1e-4
    assert bits(through) == bits(kept) and notes(kept) == []


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_a_transformer_in_bf16(gpu: Gpu, data: TaskData, mode: str) -> None:
    params = replace(TUNED, drop_path_mode=mode, ft_epochs=1, layer_decay=0.8)
    spec = EncoderSpec("vit_small", "random")
    here = post_train(spec, data, params, seed=3, machine=Machine(precision="bf16"))
    there = post_train(spec, data, params, seed=3, machine=replace(GPU, precision="bf16"))
    assert gap(here, there) < 0.05


def test_scores_are_not_rounded_to_bf16(gpu: Gpu, spec: EncoderSpec, data: TaskData) -> None:
    outcome = post_train(spec, data, replace(TUNED, ft_epochs=1), seed=3, machine=replace(GPU, precision="bf16"))
    column = torch.from_numpy(outcome.val_probabilities[:, 0]).logit()
    assert (column.bfloat16().float() - column).abs().max() > 1e-4
    assert len(np.unique(outcome.val_probabilities[:, 0])) == len(outcome.val_probabilities)


def test_an_interrupted_trial_ends_with_the_same_bits(
    gpu: Gpu, spec: EncoderSpec, data: TaskData, tmp_path: Path
) -> None:
    params = replace(BOTH, dropout=0.2, ft_epochs=3)
    whole = post_train(spec, data, params, seed=3, machine=GPU)
    reports: list[Progress] = []
    with pytest.raises(Stopped):
        post_train(
            spec, data, params, seed=3, machine=GPU, checkpoint=tmp_path / "trial", report=reports.append,
            stop=lambda: any(p.stage == "finetune" and p.epoch == 2 for p in reports),
        )  # fmt: skip
    reports.clear()
    resumed = post_train(
        spec, data, params, seed=3, machine=GPU, checkpoint=tmp_path / "trial", report=reports.append
    )  # fmt: skip
    assert [p.epoch for p in reports if p.stage == "finetune"] == [3]
    assert bits(resumed) == bits(whole) and notes(resumed) == []


def test_early_stopping(gpu: Gpu, spec: EncoderSpec, data: TaskData) -> None:
    outcome = post_train(
        spec, data, TUNED, seed=3, machine=GPU, rungs=Rungs(score="val_auroc", thresholds={1: 1.0})
    )  # fmt: skip
    assert outcome.early_stop is not None and len(outcome.epochs) == 1


@pytest.mark.parametrize("hold_data", [True, False], ids=["held", "streamed"])
@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_the_host_waits_once_an_epoch_and_in_no_step(
    spec: EncoderSpec, data: TaskData, hold_data: bool, mode: str
) -> None:
    """An epoch of each stage: the loss of an epoch, and the probabilities of the validation records."""
    params = replace(BOTH, drop_path_mode=mode, dropout=0.2, batch_size=4, epoch_choice="last")
    waits = {}
    for n_epochs in (1, 2):
        with pretended_gpu() as gpu:
            params = replace(params, ft_epochs=n_epochs, probe_epochs=n_epochs)
            machine = replace(GPU, hold_data=hold_data, micro_batch=2)
            n_steps = -(-post_train(spec, data, params, seed=3, machine=machine).n_train // 4)
            waits[n_epochs] = gpu.waits
    more = waits[2] - waits[1]
    assert n_steps > 6, "else this test tests nothing"
    assert more.total() <= 4, more  # an epoch more of each stage: its loss, its probabilities


@pytest.mark.parametrize(
    "fault",
    [
        lambda out: out + torch.zeros(out.shape[1:]),
        lambda out: out + 0 * torch.rand(out.shape, generator=torch.Generator(), device=out.device),
    ],
    ids=["a tensor of the processor", "a generator of the processor"],
)
def test_a_mistake_of_devices_is_seen(
    gpu: Gpu, spec: EncoderSpec, data: TaskData, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Tensor], Tensor]
) -> None:
    forward = Net1D.forward
    monkeypatch.setattr(Net1D, "forward", lambda self, x: fault(forward(self, x)))
    with pytest.raises(MixedDevices):
        post_train(spec, data, TUNED, seed=3, machine=GPU)


def test_a_step_that_waits_is_seen(spec: EncoderSpec, data: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    step = FineTune._step

    def waiting(self: FineTune, batch: Batch) -> Tensor:
        loss = step(self, batch)
        loss.item()
        return loss

    def waits_of(n_epochs: int) -> int:
        with pretended_gpu() as gpu:
            post_train(spec, data, replace(TUNED, ft_epochs=n_epochs, batch_size=8), seed=3, machine=GPU)
            return gpu.waits.total()

    before = waits_of(2)  # a checkpoint more or less, by the clock
    monkeypatch.setattr(FineTune, "_step", waiting)
    assert waits_of(2) > before + 5  # of ten steps


class OwnEncoder(torch.nn.Module):
    """What a user's package may offer; its layer drops two branches in a pass."""

    n_features, fs_hz, n_leads, n_samples = 6, 100, 12, None

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(12, 6), torch.nn.Linear(6, 6)
        self.drop_path = DropPath(n_branches=2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(x.mean(2))
        for _ in range(2):
            hidden = self.drop_path(hidden, hidden, lambda part: torch.relu(self.outer(part)))
        return hidden

    def stages(self) -> list[list[torch.nn.Parameter]]:
        return [list(self.inner.parameters()), list(self.outer.parameters())]

    def drop_path_layers(self) -> list[DropPath]:
        return [self.drop_path]


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_an_encoder_of_ones_own(
    gpu: Gpu, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    info = tmp_path / "own_encoders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-encoders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{catalogue.ENTRY_POINTS}]\nown = {__name__}:OwnEncoder\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    spec, params = EncoderSpec("own", "random"), replace(BOTH, drop_path_mode=mode)
    here = post_train(spec, data, params, seed=3)
    there = post_train(spec, data, params, seed=3, machine=GPU, features=FeatureCache(tmp_path / "features"))
    assert gap(here, there) < 1e-4 and notes(there) == []


def test_pre_training(gpu: Gpu, data: TaskData) -> None:
    method = Contrastive(schedule=Schedule(n_epochs=1, batch_size=16, peak_lr=1e-3), n_beat_parts=4)
    losses: dict[str, list[float]] = {"cpu": [], "cuda": []}
    for device, known in losses.items():
        encoder = pretrain_contrastive(
            "net1d_small", data.signals, np.arange(32), method, device=torch.device(device),
            report=lambda _, __, loss, known=known: known.append(loss),
        )  # fmt: skip
        assert all(parameter.device.type == "cpu" for parameter in encoder.parameters())
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)
    assert sum(n for wait, n in gpu.waits.items() if "_local_scalar" in wait) == 1
