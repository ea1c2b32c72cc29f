"""Net1D, the residual network of ECGFounder, with its authors' key names.

Source: Li et al. 2024, arXiv 2410.04133, and its code. Computed otherwise but equal within rounding: convolutions go
through 2-D kernels of height 1, which are the fastest for narrow networks when channels come last. Drop path stands
after the squeeze-excitation gate and before the addition. The authors' BatchNorm layers, which they leave unused, keep
their places in the checkpoint and cost nothing.
"""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ablate.model.catalogue import Input, Net1DShape
from ablate.model.drop_path import DropPath


class Net1D(nn.Module):
    """The network up to its features, and the authors' head ``dense`` where the shape has classes.

    Args:
        shape: widths and depths.
        takes: rate, leads and length of the records.
        channels_last: keep activations channels-last, faster for narrow networks.
    """

    def __init__(self, shape: Net1DShape, takes: Input, *, channels_last: bool = False) -> None:
        super().__init__()
        self.n_features, self.n_leads = shape.n_features, takes.n_leads
        self.fs_hz, self.n_samples = takes.fs_hz, takes.n_samples
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.first_conv = _SameConv(takes.n_leads, shape.stem_width, kernel_size=shape.kernel_size, stride=2)
        self.first_bn = _UnusedNorm(shape.stem_width)
        self.stage_list = nn.ModuleList()
        width_in = shape.stem_width
        for width, depth in zip(shape.stage_widths, shape.stage_depths, strict=True):
            self.stage_list.append(_Stage(width_in, width, depth, shape, is_first=not self.stage_list))
            width_in = width
        self.dense = nn.Linear(shape.n_features, shape.n_classes) if shape.n_classes else None

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record: the last stage's activations, averaged over time."""
        out = F.silu(self.first_conv(x.unsqueeze(2).contiguous(memory_format=self._format_for(x))))
        for block in self._blocks():
            out = block(out)
        return _mean_over_time(out)

    def _format_for(self, x: Tensor) -> torch.memory_format:
        """Tensor cores take bf16 channels-last: contiguous tensors would be turned around at every convolution.

        Argued from cuDNN's kernels, not measured: no GPU was at hand.
        """
        if x.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
            return torch.channels_last
        return self._format

    def logits(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch class"]:
        """What the authors' own head says, for networks that were built with it."""
        assert self.dense is not None, "this shape has no classes"
        return cast(Tensor, self.dense(self(x)))

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: the first convolution, then each stage."""
        parts = [self.first_conv, *self.stage_list]
        return [[p for name, p in part.named_parameters() if not self.is_unused(name)] for part in parts]

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each residual block, from input to output."""
        return [block.drop_path for block in self._blocks()]

    @staticmethod
    def is_unused(key: str) -> bool:
        """Whether a checkpoint's entry belongs to a BatchNorm layer, which the network never applies."""
        return any(part == "first_bn" or part[:-1] == "bn" for part in key.split("."))

    def _blocks(self) -> "list[_Block]":
        return [cast(_Block, block) for stage in self.stage_list for block in cast(_Stage, stage).block_list]


class _Stage(nn.Module):
    def __init__(self, width_in: int, width: int, depth: int, shape: Net1DShape, *, is_first: bool) -> None:
        super().__init__()
        self.block_list = nn.ModuleList(
            _Block(
                width if index else width_in,
                width,
                shape,
                downsample=index == 0,
                activate=not (is_first and index == 0),
            )
            for index in range(depth)
        )


class _Block(nn.Module):
    """Convolutions 1, k and 1 wide behind activations, a squeeze-excitation gate, and the shortcut around them."""

    def __init__(self, width_in: int, width: int, shape: Net1DShape, *, downsample: bool, activate: bool) -> None:
        super().__init__()
        self.n_new_channels, self.downsample, self.activate = width - width_in, downsample, activate
        self.bn1 = _UnusedNorm(width_in)
        self.conv1 = _SameConv(width_in, width)
        self.bn2 = _UnusedNorm(width)
        self.conv2 = _SameConv(
            width,
            width,
            kernel_size=shape.kernel_size,
            stride=2 if downsample else 1,
            groups=width // shape.group_width,
        )
        self.bn3 = _UnusedNorm(width)
        self.conv3 = _SameConv(width, width)
        self.se_fc1 = nn.Linear(width, width // 2)
        self.se_fc2 = nn.Linear(width // 2, width)
        self.drop_path = DropPath()

    def forward(self, x: Float[Tensor, "batch channel 1 sample"]) -> Float[Tensor, "batch width 1 shorter"]:
        return cast(Tensor, self.drop_path(x, self._shortcut(x), self._branch))

    def _branch(self, x: Tensor) -> Tensor:
        out = self.conv1(F.silu(x) if self.activate else x)
        out = self.conv2(F.silu(out))
        out = self.conv3(F.silu(out))
        gate = self.se_fc2(F.silu(self.se_fc1(_mean_over_time(out))))
        return cast(Tensor, out * gate.sigmoid()[:, :, None, None])

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.downsample:
            if x.shape[-1] % 2:
                x = F.pad(x, (0, 1))  # with zeros, as the authors do: max-pooling's own padding is minus infinity
            x = F.max_pool2d(x, (1, 2))
        if self.n_new_channels:
            before = self.n_new_channels // 2
            x = F.pad(x, (0, 0, 0, 0, before, self.n_new_channels - before))
        return x


class _SameConv(nn.Module):
    """A convolution whose output has ceil(samples / stride) samples, zeros around, the odd one at the end."""

    def __init__(self, width_in: int, width: int, *, kernel_size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width, kernel_size, stride=stride, groups=groups)

    def forward(self, x: Float[Tensor, "batch channel 1 sample"]) -> Float[Tensor, "batch width 1 shorter"]:
        conv = self.conv
        (kernel_size,), (stride,), n_samples = conv.kernel_size, conv.stride, x.shape[-1]
        n_pad = max(0, (-(-n_samples // stride) - 1) * stride + kernel_size - n_samples)
        before = n_pad // 2
        if n_pad % 2 or (n_pad and _pads_wrongly(x)):
            x = F.pad(x, (before, n_pad - before))
            before = 0
        return F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, (1, stride), (0, before), 1, conv.groups)


class _UnusedNorm(nn.Module):
    """Keeps the entries of a BatchNorm layer that is never applied; its parameters are not trained."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("num_batches_tracked", torch.tensor(0))


def _pads_wrongly(x: Tensor) -> bool:
    """oneDNN 3.x on processors with AMX: a bf16 convolution that pads 12 channels itself is wrong by its own size."""
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def _mean_over_time(x: Float[Tensor, "batch channel 1 sample"]) -> Float[Tensor, "batch channel"]:
    return x.sum((2, 3)) * (1 / x.shape[-1])  # the gradient of mean() would fill a tensor as large as x
