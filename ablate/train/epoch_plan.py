"""The plan of an epoch: which records each step sees, at what learning rate, and which branches are dropped for them.

Everything is drawn before the first step, from streams of its own for each epoch, and travels to the device at once: no
step waits for the host, and a trial that goes on in mid-stage draws what it would have drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ablate import seeds
from ablate.model.drop_path import DropPath
from ablate.train.signals import Rows, n_pieces, to_device


@dataclass(frozen=True)
class Piece:
    """Records that are in memory together.

    Attributes:
        rows: of the cohort.
        positions: of the same records in the trial's training subset.
        places: where in each record its window lies, in [0, 1).
    """

    rows: Rows
    positions: Rows
    places: Float[Tensor, " record"]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Batch:
    """One optimizer step.

    Attributes:
        pieces: its records, in one piece or in micro-batches.
        n_records: in all pieces.
        rate_factor: the learning rate over the peak.
    """

    pieces: tuple[Piece, ...]
    n_records: int
    rate_factor: float


def plan_epoch(
    rows: Int[np.ndarray, "record"],
    *,
    device: torch.device,
    seed: int,
    stage: str,
    epoch: int,
    n_epochs: int,
    batch_size: int,
    micro_batch: int | None = None,
    warmup_fraction: float = 0.0,
    min_ratio: float = 0.0,
) -> list[Batch]:
    """The batches of ``epoch``, from 1, of ``n_epochs`` over ``rows`` of the cohort, in a new order each epoch."""
    order = epoch_order(len(rows), seed=seed, stage=stage, epoch=epoch)
    places = np.random.default_rng(seeds.derive(seed, "window", stage, epoch)).random(len(rows), np.float32)
    whole = Piece(Rows.on(device, rows[order]), Rows.on(device, order), to_device(torch.from_numpy(places), device))
    n_batches = n_pieces(len(rows), batch_size)
    batches = []
    for i in range(n_batches):
        start, end = i * batch_size, min((i + 1) * batch_size, len(rows))
        size = min(batch_size, micro_batch or batch_size)
        parts = [slice(at, min(at + size, end)) for at in range(start, end, size)]
        factor = rate_factor(
            (epoch - 1) * n_batches + i,
            n_steps=n_epochs * n_batches,
            warmup_fraction=warmup_fraction,
            min_ratio=min_ratio,
        )
        pieces = tuple(Piece(whole.rows[part], whole.positions[part], whole.places[part]) for part in parts)
        batches.append(Batch(pieces, end - start, factor))
    return batches


def plan_drop_path(
    layers: Sequence[DropPath], batches: Sequence[Batch], *, device: torch.device, seed: int, epoch: int
) -> None:
    """Give each of ``layers`` what it drops in every forward pass of ``batches``, one pass for each piece."""
    n_records = [len(piece) for batch in batches for piece in batch.pieces]
    drawn = []
    for i, layer in enumerate(layers):
        generator = torch.Generator().manual_seed(seeds.derive(seed, "drop_path", i, epoch))
        drawn.append(layer.draw(n_records, generator) if layer.rate else [])
    flat = [tensor for tensors in drawn for tensor in tensors]
    if not flat:
        return
    moved = iter(torch.split(to_device(torch.cat(flat), device), [len(tensor) for tensor in flat]))
    for layer, tensors in zip(layers, drawn, strict=True):
        layer.follow([next(moved) for _ in tensors])


def epoch_order(n_records: int, *, seed: int, stage: str, epoch: int) -> Int[np.ndarray, "record"]:
    """The permutation of one epoch; it depends on its arguments only, so a resumed trial sees the same batches."""
    return np.random.default_rng(seeds.derive(seed, "order", stage, epoch)).permutation(n_records)


def rate_factor(step: int, *, n_steps: int, warmup_fraction: float = 0.0, min_ratio: float = 0.0) -> float:
    """The learning rate of ``step`` over the peak rate.

    The warm-up takes ``round(warmup_fraction * n_steps)`` steps and ends at the peak. The first step after it has the
    peak rate too, the last one of the stage has ``min_ratio`` of it.

    Args:
        step: from 0 to ``n_steps - 1``.
        n_steps: of the whole stage.
        warmup_fraction: in [0, 1).
        min_ratio: in [0, 1].

    Source:
        Loshchilov and Hutter 2017, equation 5, without restarts.
    """
    n_warmup = round(warmup_fraction * n_steps)
    if step < n_warmup:
        return (step + 1) / n_warmup
    n_falling = max(n_steps - n_warmup - 1, 1)
    done = (step - n_warmup) / n_falling
    return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * done)) / 2
