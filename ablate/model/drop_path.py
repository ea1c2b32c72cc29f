"""Drop path (stochastic depth): a residual branch is left out for some records while training.

Source: Huang et al. 2016, arXiv 1603.09382; scaling and per-sample mode as in timm. The fixed count is ours: it keeps
the marginal rate exactly, varies less than independent draws, and computes nothing for the records that it drops.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ablate.errors import SpecError

Mode = Literal["sample", "batch", "fixed"]
Schedule = Literal["linear", "constant"]


class HasDropPath(Protocol):
    """Whatever has residual branches that can be dropped."""

    def drop_path_layers(self) -> "list[DropPath]":
        """The layers from input to output."""
        ...


def keep_scale(n_records: int, rate: float, *, mode: Mode, generator: torch.Generator) -> Float[Tensor, " record"]:
    """What each record's branch is multiplied by: 0 where it is dropped, 1/keep where it stays.

    Args:
        n_records: records in the batch.
        rate: probability to be dropped, 0 to below 1.
        mode: ``sample`` draws for each record, ``batch`` once for all, ``fixed`` drops floor(n keep + u) of them.
        generator: on the CPU, so that every device drops the same records.
    """
    keep = 1.0 - rate
    if mode == "fixed":
        scale = torch.zeros(n_records)
        scale[_kept_of_fixed_count(n_records, keep, generator)] = 1.0 / keep
        return scale
    n_draws = 1 if mode == "batch" else n_records
    kept = torch.rand(n_draws, generator=generator) < keep
    return (kept.float() / keep).expand(n_records)


def drop_path(
    x: Float[Tensor, "record ..."], rate: float, *, mode: Mode = "sample", generator: torch.Generator
) -> Float[Tensor, "record ..."]:
    """``x`` with dropped records set to zero and the others scaled by 1/keep; ``x`` itself at rate 0."""
    if rate == 0.0:
        return x
    scale = keep_scale(len(x), rate, mode=mode, generator=generator).to(x.device, x.dtype)
    return x * scale.view(-1, *[1] * (x.dim() - 1))


class DropPath(nn.Module):
    """Where a shortcut meets its branch; it does not own the branch, so it adds no keys to a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = 0.0
        self.mode: Mode = "sample"
        self.generator: torch.Generator | None = None

    @property
    def active(self) -> bool:
        """Whether the next forward pass draws random numbers."""
        return self.training and self.rate > 0.0

    def forward(self, x: Tensor, shortcut: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """``shortcut + branch(x)``, the branch dropped for some records while training."""
        if not self.active:
            return shortcut + branch(x)
        assert self.generator is not None, "set_drop_path gives the generator"
        if self.mode == "fixed":
            kept = _kept_of_fixed_count(len(x), 1.0 - self.rate, self.generator).to(x.device)
            return _add_rows(shortcut, kept, branch(_rows(x, kept)), scale=1.0 / (1.0 - self.rate))
        return shortcut + drop_path(branch(x), self.rate, mode=self.mode, generator=self.generator)

    def extra_repr(self) -> str:
        """Shown by ``print(encoder)``."""
        return f"rate={self.rate:.4g}, mode={self.mode}"


def set_drop_path(
    encoder: HasDropPath,
    *,
    rate: float,
    schedule: Schedule = "linear",
    mode: Mode = "sample",
    generator: torch.Generator | None = None,
) -> None:
    """Give every residual block its rate: rising from 0 to ``rate`` at the last one, or constant.

    Args:
        encoder: whose blocks are set, in order from input to output.
        rate: of the last block, 0 (off) to below 1.
        schedule: ``linear`` over the blocks or ``constant``.
        mode: see ``keep_scale``.
        generator: where the draws come from; needed when ``rate`` is above 0. At rate 0 nothing is drawn.

    Raises:
        SpecError: a rate, mode or schedule that does not exist.
    """
    if not 0.0 <= rate < 1.0:
        raise SpecError(f"drop_path_rate = {rate}: expected 0 <= rate < 1; choose a rate in that range")
    if mode not in get_args(Mode) or schedule not in get_args(Schedule):
        raise SpecError(
            f"drop_path_mode = {mode!r}, drop_path_schedule = {schedule!r}: "
            f"expected one of {get_args(Mode)} and one of {get_args(Schedule)}"
        )
    if rate > 0.0 and generator is None:
        raise SpecError(f"drop_path_rate = {rate} needs a generator of its own; pass torch.Generator()")
    layers = encoder.drop_path_layers()
    for layer, layer_rate in zip(layers, rates(len(layers), rate, schedule=schedule), strict=True):
        layer.rate, layer.mode, layer.generator = layer_rate, mode, generator


def rates(n_layers: int, rate: float, *, schedule: Schedule) -> Sequence[float]:
    """The rate of each block: ``rate * i / (n_layers - 1)``, or ``rate`` everywhere."""
    if schedule == "constant" or n_layers == 1:
        return [rate] * n_layers
    return [rate * index / (n_layers - 1) for index in range(n_layers)]


def _kept_of_fixed_count(n_records: int, keep: float, generator: torch.Generator) -> Int[Tensor, " kept"]:
    draw = torch.rand((), generator=generator).item()
    n_kept = min(n_records, math.floor(n_records * keep + draw))
    return torch.randperm(n_records, generator=generator)[:n_kept].sort().values


def _rows(x: Tensor, kept: Int[Tensor, " kept"]) -> Tensor:
    """``x[kept]`` in the memory format of ``x``; plain indexing would turn channels-last tensors around."""
    if x.dim() == 4:
        return x.movedim(1, -1).index_select(0, kept).movedim(-1, 1)
    return x.index_select(0, kept)


def _add_rows(shortcut: Tensor, kept: Int[Tensor, " kept"], rows: Tensor, *, scale: float) -> Tensor:
    if shortcut.dim() == 4:
        return shortcut.movedim(1, -1).index_add(0, kept, rows.movedim(1, -1), alpha=scale).movedim(-1, 1)
    return shortcut.index_add(0, kept, rows, alpha=scale)
