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


class DropPath(nn.Module):
    """Where a shortcut meets its branch; it does not own the branch, so it adds no keys to a checkpoint.

    Args:
        n_branches: how many branches of one forward pass meet their shortcut here; each draws for itself.
    """

    def __init__(self, *, n_branches: int = 1) -> None:
        super().__init__()
        self.n_branches = n_branches
        self.rate = 0.0
        self.mode: Mode = "sample"
        self.generator: torch.Generator | None = None
        self._planned: list[Tensor] | None = None
        self._n_begun, self._n_taken = 0, 0

    @property
    def active(self) -> bool:
        """Whether the next forward pass drops branches."""
        return self.training and self.rate > 0.0

    def draw(self, n_records: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """What forward passes of so many records drop, in the order in which they ask: a tensor for each branch.

        Returns:
            The factor of each record's branch in float32, one for all in mode "batch"; in mode "fixed" the records
            that stay, in int64, ascending. On the CPU, so that every device drops the same records.
        """
        # One call for each branch: in one call for several, torch draws other numbers where they have fewer than 16.
        return [self._draw_one(n, generator) for n in n_records for _ in range(self.n_branches)]

    def follow(self, drawn: list[Tensor] | None) -> None:
        """Drop in the passes to come what ``draw`` gave, moved to the device; ``begin_pass`` opens each of them.

        None draws in every pass from ``generator`` instead, for which a GPU waits.
        """
        self._planned, self._n_begun, self._n_taken = drawn, 0, 0

    def begin_pass(self) -> None:
        """The next forward pass begins."""
        self._n_taken = self._n_begun * self.n_branches
        self._n_begun += 1

    def forward(self, x: Tensor, shortcut: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """``shortcut + branch(x)``, the branch dropped for some records while training."""
        if not self.active:
            return shortcut + branch(x)
        drawn = self._next(x)
        if self.mode == "fixed":
            return _add_rows(shortcut, drawn, branch(_rows(x, drawn)), scale=1.0 / (1.0 - self.rate))
        return shortcut + _scaled(branch(x), drawn)

    def _draw_one(self, n_records: int, generator: torch.Generator) -> Tensor:
        keep = 1.0 - self.rate
        if self.mode == "fixed":
            return _kept_of_fixed_count(n_records, keep, generator)
        kept = torch.rand(1 if self.mode == "batch" else n_records, generator=generator) < keep
        return kept.float() / keep

    def _next(self, x: Tensor) -> Tensor:
        if self._planned is None:
            assert self.generator is not None, "set_drop_path gives the generator"
            return self._draw_one(len(x), self.generator).to(x.device)
        if self._n_taken >= self._n_begun * self.n_branches:
            raise SpecError(
                f"encoder: a DropPath layer meets more branches in one pass than its n_branches = {self.n_branches} "
                "says; make it DropPath(n_branches=...) with their number"
            )
        self._n_taken += 1
        return self._planned[self._n_taken - 1]

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
        mode: ``sample`` draws for each record, ``batch`` once for all, ``fixed`` drops n - floor(n keep + u) of them.
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
        layer.follow(None)


def rates(n_layers: int, rate: float, *, schedule: Schedule) -> Sequence[float]:
    """The rate of each block: ``rate * i / (n_layers - 1)``, or ``rate`` everywhere."""
    if schedule == "constant" or n_layers == 1:
        return [rate] * n_layers
    return [rate * index / (n_layers - 1) for index in range(n_layers)]


def _kept_of_fixed_count(n_records: int, keep: float, generator: torch.Generator) -> Int[Tensor, " kept"]:
    draw = torch.rand((), generator=generator).item()
    n_kept = min(n_records, math.floor(n_records * keep + draw))
    return torch.randperm(n_records, generator=generator)[:n_kept].sort().values


def _scaled(x: Float[Tensor, "record ..."], factor: Float[Tensor, " record"]) -> Float[Tensor, "record ..."]:
    """Each record times its factor, computed in float32 and in the type of ``x``: bf16 would round 1/keep for all."""
    return (x * factor.view(-1, *[1] * (x.dim() - 1))).to(x.dtype)


def _rows(x: Tensor, kept: Int[Tensor, " kept"]) -> Tensor:
    """``x[kept]`` in the memory format of ``x``; plain indexing would turn channels-last tensors around."""
    if _is_channels_last(x):
        return x.movedim(1, -1).index_select(0, kept).movedim(-1, 1)
    return x.index_select(0, kept)


def _add_rows(shortcut: Tensor, kept: Int[Tensor, " kept"], rows: Tensor, *, scale: float) -> Tensor:
    """``shortcut`` with ``scale * rows`` added to its rows ``kept``; autocast may give the two other types."""
    if shortcut.dtype != torch.float32:
        rows, scale = rows * scale, 1.0  # a product rounds once; index_add would round the scale itself
    rows = rows.to(shortcut.dtype)
    if _is_channels_last(shortcut):
        return shortcut.movedim(1, -1).index_add(0, kept, rows.movedim(1, -1), alpha=scale).movedim(-1, 1)
    return shortcut.index_add(0, kept, rows, alpha=scale)


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
