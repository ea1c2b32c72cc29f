"""Pre-training the small encoders that come with the package.

``contrastive`` needs no labels: two views of a record should have features nearer to each other than to those of other
records (NT-Xent, Chen et al. 2020, arXiv 2002.05709), and a linear map of the features should predict the record's
average beat. ``supervised`` predicts the true latents and groups of a synthetic cohort's generator, not the statements
that its simulated reader makes of them.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor, nn

from ablate import seeds
from ablate.errors import Diverged
from ablate.model.encoder import Encoder, EncoderSpec, load_encoder
from ablate.pretrain.augmentation import Disturbance, draw_view
from ablate.pretrain.average_beat import beat_targets
from ablate.train.epoch_plan import epoch_order
from ablate.train.signals import to_device

Report = Callable[[int, int, float], None]  # epoch, epochs in all, mean loss
PROJECTION_WIDTH = 64
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to learn: AdamW, one cycle of the learning rate.

    Args:
        peak_lr: highest learning rate.
        seed: of initial weights, batches and views.
    """

    n_epochs: int
    batch_size: int
    peak_lr: float
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Contrastive:
    """The label-free method.

    Args:
        temperature: of NT-Xent.
        beat_weight: of the average beat's loss beside NT-Xent's; 0 leaves it out.
        n_beat_parts: principal parts of the average beat that are predicted.
    """

    schedule: Schedule = Schedule(n_epochs=4, batch_size=256, peak_lr=2e-3)
    disturbance: Disturbance = field(default_factory=Disturbance)
    temperature: float = 0.1
    beat_weight: float = 100.0
    n_beat_parts: int = 48


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """The method for a synthetic cohort."""

    schedule: Schedule = Schedule(n_epochs=10, batch_size=64, peak_lr=3e-3)


class _Task(Protocol):
    """A loss and the heads that it needs, which are trained with the encoder and discarded afterwards."""

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def loss(self, encoder: Encoder, x: Float[Tensor, "n lead sample"], at: Int[np.ndarray, "n"]) -> Tensor: ...


def pretrain_contrastive(
    name: str,
    signals: Float[np.ndarray, "record lead sample"],
    rows: Int[np.ndarray, "row"],
    method: Contrastive,
    *,
    report: Report,
    device: torch.device = CPU,
) -> nn.Module:
    """The encoder of that name, on the CPU again, trained on ``rows`` of ``signals`` without labels.

    Raises:
        SpecError: nothing has that name.
        Diverged: the loss is not finite.
    """
    seed = method.schedule.seed
    encoder = load_encoder(EncoderSpec(name, "random"), seed=seed)
    targets = np.zeros((len(rows), 0), np.float32)
    if method.beat_weight:
        targets = beat_targets(signals, rows, fs_hz=encoder.fs_hz, n_parts=method.n_beat_parts)
    with _own_randomness(seed):
        task = _ContrastiveTask(encoder, method, targets, device)
        _fit(encoder, task, signals, rows, method.schedule, report, device)
    return cast(nn.Module, encoder).eval().cpu()


def pretrain_supervised(
    name: str,
    signals: Float[np.ndarray, "record lead sample"],
    rows: Int[np.ndarray, "row"],
    latents: Float32[np.ndarray, "row latent"],
    groups: Bool[np.ndarray, "row group"],
    method: Supervised,
    *,
    report: Report,
    device: torch.device = CPU,
) -> nn.Module:
    """The encoder of that name, on the CPU again, trained to predict the latents and groups of ``rows`` of ``signals``.

    Raises:
        SpecError: nothing has that name.
        Diverged: the loss is not finite.
    """
    seed = method.schedule.seed
    encoder = load_encoder(EncoderSpec(name, "random"), seed=seed)
    with _own_randomness(seed):
        task = _SupervisedTask(encoder.n_features, latents, groups, device)
        _fit(encoder, task, signals, rows, method.schedule, report, device)
    return cast(nn.Module, encoder).eval().cpu()


class _ContrastiveTask(nn.Module):
    def __init__(
        self, encoder: Encoder, method: Contrastive, targets: Float32[np.ndarray, "row part"], device: torch.device
    ) -> None:
        super().__init__()
        self._device = device
        width = encoder.n_features
        self.projection = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, PROJECTION_WIDTH))
        self.beat = nn.Linear(width, targets.shape[1]) if method.beat_weight else None
        self._method, self._targets = method, torch.from_numpy(targets)
        self._generator = torch.Generator().manual_seed(seeds.derive(method.schedule.seed, "views"))

    def loss(self, encoder: Encoder, x: Float[Tensor, "n lead sample"], at: Int[np.ndarray, "n"]) -> Tensor:
        method = self._method
        views = [draw_view(x, method.disturbance, fs_hz=encoder.fs_hz, generator=self._generator) for _ in range(2)]
        features = encoder(torch.cat([to_device(view, self._device) for view in views]))
        loss = nt_xent(self.projection(features), temperature=method.temperature)
        if self.beat is not None:
            targets = to_device(self._targets[at], self._device).repeat(2, 1)
            loss = loss + method.beat_weight * F.smooth_l1_loss(self.beat(features), targets)
        return loss


class _SupervisedTask(nn.Module):
    def __init__(
        self,
        n_features: int,
        latents: Float32[np.ndarray, "row latent"],
        groups: Bool[np.ndarray, "row group"],
        device: torch.device,
    ) -> None:
        super().__init__()
        self._device = device
        self.head = nn.Linear(n_features, latents.shape[1] + groups.shape[1])
        self._latents, self._groups = torch.from_numpy(latents), torch.from_numpy(groups.astype(np.float32))

    def loss(self, encoder: Encoder, x: Float[Tensor, "n lead sample"], at: Int[np.ndarray, "n"]) -> Tensor:
        outputs = self.head(encoder(to_device(x, self._device)))
        latents, groups = (to_device(labels[at], self._device) for labels in (self._latents, self._groups))
        n_latents = latents.shape[1]
        latent_loss = F.smooth_l1_loss(outputs[:, :n_latents], latents)
        return latent_loss + F.binary_cross_entropy_with_logits(outputs[:, n_latents:], groups)


def nt_xent(projected: Float[Tensor, "twice width"], *, temperature: float) -> Float[Tensor, ""]:
    """Cross-entropy of finding each view's partner among all others; row i's partner is i + n of 2 n rows.

    Source: Chen et al. 2020, arXiv 2002.05709, equation 1.
    """
    unit = F.normalize(projected)
    similarity = (unit @ unit.T / temperature).fill_diagonal_(float("-inf"))
    n_rows = len(projected)
    return F.cross_entropy(similarity, torch.arange(n_rows, device=projected.device).roll(n_rows // 2))


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "head"))
        yield


def _fit(
    encoder: Encoder,
    task: _Task,
    signals: Float[np.ndarray, "record lead sample"],
    rows: Int[np.ndarray, "row"],
    schedule: Schedule,
    report: Report,
    device: torch.device,
) -> None:
    """Train ``encoder`` and what ``task`` holds; records and views are drawn on the CPU, the same for every device."""
    cast(nn.Module, encoder).train().to(device)
    cast(nn.Module, task).to(device)
    parameters = [*(parameter for stage in encoder.stages() for parameter in stage), *task.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.peak_lr, weight_decay=schedule.weight_decay, fused=True)
    size = min(schedule.batch_size, len(rows))
    n_steps = len(rows) // size
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.peak_lr, total_steps=n_steps * schedule.n_epochs)
    for epoch in range(schedule.n_epochs):
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)  # fetched at the epoch's end
        at = epoch_order(len(rows), seed=schedule.seed, stage="pretrain", epoch=epoch)
        for step in range(n_steps):
            batch = np.sort(at[step * size : (step + 1) * size])  # sorted rows lie together in the mapped array
            loss = task.loss(encoder, torch.from_numpy(signals[rows[batch]]).float(), batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, schedule.grad_clip)
            optimizer.step()
            cycle.step()
            loss_sum += loss.detach()
        total = loss_sum.item()
        if not np.isfinite(total):
            raise Diverged(f"the loss of pre-training epoch {epoch + 1} is not finite; lower {schedule.peak_lr = }")
        report(epoch + 1, schedule.n_epochs, total / n_steps)
