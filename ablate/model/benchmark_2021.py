"""The convolutional networks of the PTB-XL benchmark of 2021, with its authors' key names.

Source: Strodthoff et al. 2021, arXiv 2004.13701, and its code. Features are the largest and the mean activation over
time, side by side; the authors' head behind them is left out. These networks have BatchNorm: in training a record's
features depend on its batch, micro-batches take their statistics apart, and the running statistics belong to the
checkpoint. A dropped branch counts in the statistics of modes "sample" and "batch", in mode "fixed" it does not.
"""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ablate.model.catalogue import InceptionShape, Input, ResNetShape, XResNetShape
from ablate.model.drop_path import DropPath

BOTTLENECK = 4  # a block of an xresnet is so many times as wide as its inner convolutions
N_INCEPTION = 3  # modules between two shortcuts


class XResNet1d(nn.Sequential):
    """A stem of three convolutions, then stages of bottleneck blocks, numbered as in the authors' checkpoints."""

    def __init__(self, shape: XResNetShape, takes: Input) -> None:
        widths = (takes.n_leads, *shape.stem_widths)
        stem = [
            [*_conv_norm(a, b, 5, stride=2 if i == 0 else 1), nn.ReLU()]
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        ]
        outer, stages, width_in = BOTTLENECK * shape.width, [], widths[-1]
        for index, depth in enumerate(shape.stage_depths):
            strides = [2 if index and not place else 1 for place in range(depth)]
            blocks = [_Bottleneck(outer if i else width_in, shape.width, stride) for i, stride in enumerate(strides)]
            stages.append(nn.Sequential(*blocks))
            width_in = outer
        super().__init__(*(nn.Sequential(*part) for part in stem), nn.MaxPool1d(3, 2, 1), *stages)
        self.n_features, self.n_leads, self.fs_hz = shape.n_features, takes.n_leads, takes.fs_hz
        self.n_samples = takes.n_samples
        _initialise(self)
        for block in self._blocks():
            nn.init.zeros_(cast(nn.BatchNorm1d, cast(nn.Sequential, block.convs[2])[1]).weight)

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        for part in self:
            x = part(x)
        return _largest_and_mean(x)

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: the stem, then each stage."""
        return [[p for part in list(self)[:3] for p in part.parameters()], *_parameters(list(self)[4:])]

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each block."""
        return [block.drop_path for block in self._blocks()]

    @staticmethod
    def is_unused(key: str) -> bool:
        """Whether a checkpoint's entry is the authors' head, or the second name that they give each convolution."""
        return key.startswith("8.") or ".convpath." in key

    def _blocks(self) -> "list[_Bottleneck]":
        return [cast(_Bottleneck, block) for stage in list(self)[4:] for block in cast(nn.Sequential, stage)]


class ResNet1dWang(nn.Sequential):
    """A stem and one block of two convolutions in each stage, numbered as in the authors' checkpoints."""

    def __init__(self, shape: ResNetShape, takes: Input) -> None:
        width = shape.width
        stages = [nn.Sequential(_TwoConvs(width, stride=2 if index else 1)) for index in range(shape.n_stages)]
        stem = _conv_norm(takes.n_leads, width, 7)
        super().__init__(*stem, nn.ReLU(), *stages)
        self.n_features, self.n_leads, self.fs_hz = shape.n_features, takes.n_leads, takes.fs_hz
        self.n_samples = takes.n_samples
        _initialise(self)

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        for part in self:
            x = part(x)
        return _largest_and_mean(x)

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: the stem, then each stage."""
        return [[p for part in list(self)[:3] for p in part.parameters()], *_parameters(list(self)[3:])]

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each block."""
        return [cast(_TwoConvs, cast(nn.Sequential, stage)[0]).drop_path for stage in list(self)[3:]]

    def is_unused(self, key: str) -> bool:
        """Whether a checkpoint's entry is the authors' head."""
        return key.startswith(f"{len(self)}.")


class Inception1d(nn.Module):
    """Inception modules with a shortcut around every three of them."""

    def __init__(self, shape: InceptionShape, takes: Input) -> None:
        super().__init__()
        self.n_features, self.n_leads, self.fs_hz = shape.n_features, takes.n_leads, takes.fs_hz
        self.n_samples = takes.n_samples
        self.layers = nn.ModuleList([_InceptionStack(shape, takes.n_leads)])  # the second would be the head
        self._drop_paths = [DropPath() for _ in self._stack.sk]
        self.drop_paths = nn.ModuleList(self._drop_paths)
        _initialise(self)

    @property
    def _stack(self) -> "_InceptionStack":
        return cast(_InceptionStack, self.layers[0])

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        for part, drop_path in enumerate(self._drop_paths):
            x = F.relu(drop_path(x, self._stack.shortcut(part, x), self._stack.branch(part)))
        return _largest_and_mean(x)

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: each three modules with the shortcut around them."""
        return [
            [p for part in (*self._stack.modules_of(i), self._stack.sk[i]) for p in part.parameters()]
            for i in range(len(self._drop_paths))
        ]

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each shortcut."""
        return list(self._drop_paths)

    @staticmethod
    def is_unused(key: str) -> bool:
        """Whether a checkpoint's entry is the authors' head."""
        return key.startswith("layers.1.")


class _Bottleneck(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        outer = BOTTLENECK * width
        self.convs = nn.Sequential(
            nn.Sequential(*_conv_norm(width_in, width, 1), nn.ReLU()),
            nn.Sequential(*_conv_norm(width, width, 5, stride=stride), nn.ReLU()),
            nn.Sequential(*_conv_norm(width, outer, 1)),
        )
        self.idpath = nn.Sequential()
        if stride > 1:
            self.idpath.append(nn.AvgPool1d(stride, ceil_mode=True))
        if width_in != outer:
            self.idpath.append(nn.Sequential(*_conv_norm(width_in, outer, 1)))
        self.drop_path = DropPath()

    def forward(self, x: Float[Tensor, "batch channel sample"]) -> Float[Tensor, "batch width shorter"]:
        return F.relu(self.drop_path(x, self.idpath(x), self.convs))


class _TwoConvs(nn.Module):
    def __init__(self, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_norm(width, width, 5, stride=stride)
        self.conv2, self.bn2 = _conv_norm(width, width, 3)
        self.downsample = nn.Sequential(*(_conv_norm(width, width, 1, stride=stride) if stride > 1 else ()))
        self.drop_path = DropPath()

    def forward(self, x: Float[Tensor, "batch width sample"]) -> Float[Tensor, "batch width shorter"]:
        return F.relu(self.drop_path(x, self.downsample(x), self._branch))

    def _branch(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class _InceptionStack(nn.Module):
    def __init__(self, shape: InceptionShape, n_leads: int) -> None:
        super().__init__()
        outer = (len(shape.kernel_sizes) + 1) * shape.width
        self.im = nn.ModuleList(_Inception(outer if index else n_leads, shape) for index in range(shape.depth))
        self.sk = nn.ModuleList(
            _Shortcut(outer if index else n_leads, outer) for index in range(shape.depth // N_INCEPTION)
        )

    def modules_of(self, part: int) -> Sequence[nn.Module]:
        return list(self.im)[N_INCEPTION * part : N_INCEPTION * (part + 1)]

    def branch(self, part: int) -> nn.Sequential:
        return nn.Sequential(*self.modules_of(part))

    def shortcut(self, part: int, x: Tensor) -> Tensor:
        return cast(Tensor, self.sk[part](x))


class _Inception(nn.Module):
    def __init__(self, width_in: int, shape: InceptionShape) -> None:
        super().__init__()
        width = shape.width
        self.bottleneck = nn.Conv1d(width_in, width, 1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, size, padding=size // 2, bias=False) for size in shape.kernel_sizes
        )
        self.conv_bottle = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(width_in, width, 1, bias=False))
        self.bn_relu = nn.Sequential(nn.BatchNorm1d((len(shape.kernel_sizes) + 1) * width), nn.ReLU())

    def forward(self, x: Float[Tensor, "batch channel sample"]) -> Float[Tensor, "batch width sample"]:
        narrow = self.bottleneck(x)
        return cast(Tensor, self.bn_relu(torch.cat([*(conv(narrow) for conv in self.convs), self.conv_bottle(x)], 1)))


class _Shortcut(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.conv, self.bn = _conv_norm(width_in, width, 1)

    def forward(self, x: Float[Tensor, "batch channel sample"]) -> Float[Tensor, "batch width sample"]:
        return cast(Tensor, self.bn(self.conv(x)))


def _conv_norm(width_in: int, width: int, size: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv1d(width_in, width, size, stride, size // 2, bias=False), nn.BatchNorm1d(width)]


def _parameters(parts: Sequence[nn.Module]) -> list[list[nn.Parameter]]:
    return [list(part.parameters()) for part in parts]


def _initialise(network: nn.Module) -> None:
    for part in network.modules():
        if isinstance(part, nn.Conv1d):
            nn.init.kaiming_normal_(part.weight)


def _largest_and_mean(x: Float[Tensor, "batch channel sample"]) -> Float[Tensor, "batch feature"]:
    return torch.cat([x.amax(2), x.mean(2)], 1)
