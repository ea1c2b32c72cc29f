"""Net1D as its authors published it, shortened: Conv1d on contiguous tensors, padding by hand, x times sigmoid.

Source: github.com/hsd1503/resnet1d, as used by ECGFounder. Added is what stochastic depth needs: a branch is multiplied
by a mask, as in timm.
"""

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import Tensor, nn


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class PaddedConv(nn.Module):
    def __init__(self, n_in: int, n_out: int, kernel_size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.conv = nn.Conv1d(n_in, n_out, kernel_size, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        n_out = (x.shape[-1] + self.stride - 1) // self.stride
        n_pad = max(0, (n_out - 1) * self.stride + self.kernel_size - x.shape[-1])
        return self.conv(F.pad(x, (n_pad // 2, n_pad - n_pad // 2)))


class DropPath(nn.Module):
    rate = 0.0
    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = (torch.rand(len(x), generator=self.generator) < keep).float() / keep
        return x * mask.to(x.device).view(-1, 1, 1)


class Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, kernel_size: int, group_width: int, *, halve: bool, first: bool) -> None:
        super().__init__()
        self.n_in, self.n_out, self.halve, self.first = n_in, n_out, halve, first
        self.activation = Swish()
        self.conv1 = PaddedConv(n_in, n_out)
        self.conv2 = PaddedConv(n_out, n_out, kernel_size, 2 if halve else 1, n_out // group_width)
        self.conv3 = PaddedConv(n_out, n_out)
        self.se_fc1, self.se_fc2 = nn.Linear(n_out, n_out // 2), nn.Linear(n_out // 2, n_out)
        self.max_pool = nn.MaxPool1d(2, 2)
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x if self.first else self.activation(x))
        out = self.conv2(self.activation(out))
        out = self.conv3(self.activation(out))
        gate = torch.sigmoid(self.se_fc2(self.activation(self.se_fc1(out.mean(-1)))))
        out = torch.einsum("abc,ab->abc", out, gate)
        if self.halve:
            x = self.max_pool(F.pad(x, (0, 1)))
        if self.n_out != self.n_in:
            before = (self.n_out - self.n_in) // 2
            x = F.pad(x.transpose(-1, -2), (before, self.n_out - self.n_in - before)).transpose(-1, -2)
        return self.drop_path(out) + x


class Net1D(nn.Module):
    def __init__(self, shape: dict) -> None:
        super().__init__()
        kernel_size, group_width = shape["kernel_size"], shape["group_width"]
        self.activation = Swish()
        self.first_conv = PaddedConv(12, shape["stem_width"], kernel_size, 2)
        self.stage_list = nn.ModuleList()
        width = shape["stem_width"]
        for n_out, depth in zip(shape["stage_widths"], shape["stage_depths"], strict=True):
            stage = nn.Module()
            stage.block_list = nn.ModuleList()
            for i in range(depth):
                first = not self.stage_list and i == 0
                stage.block_list.append(Block(width, n_out, kernel_size, group_width, halve=i == 0, first=first))
                width = n_out
            self.stage_list.append(stage)
        self.n_features = width

    def blocks(self) -> list[Block]:
        return [block for stage in self.stage_list for block in stage.block_list]

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.first_conv(x))
        for block in self.blocks():
            out = block(out)
        return out.mean(-1)


class Classifier(nn.Module):
    """The network, dropout and a linear head; ``weights`` holds entries of unused norms too."""

    def __init__(self, shape: dict, weights: Path, n_classes: int, *, dropout: float, drop_path_rate: float) -> None:
        super().__init__()
        self.encoder = Net1D(shape)
        self.encoder.load_state_dict(
            {k: v for k, v in load_file(weights).items() if "bn" not in k and "dense" not in k}
        )
        blocks = self.encoder.blocks()
        for i, block in enumerate(blocks):
            block.drop_path.rate = drop_path_rate * i / (len(blocks) - 1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.n_features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.encoder(x)))
