"""A 1-D vision transformer over patches in time, all leads of a patch together.

Source: the architecture of MERL's ViT-1D (Liu et al. 2024, arXiv 2403.06659) and ST-MEM (Na et al. 2024, arXiv
2402.09450): patches as tokens, pre-norm blocks, drop path on the attention and the MLP branch. Ours is smaller.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model.catalogue import Input, VitShape
from ablate.model.drop_path import DropPath

MLP_RATIO = 4


class VisionTransformer(nn.Module):
    """Tokens of ``patch_samples`` each, sine positions, blocks, a last norm, the mean over tokens.

    Raises:
        SpecError: the records' length is not a multiple of a patch, or the width not of the heads.
    """

    def __init__(self, shape: VitShape, takes: Input) -> None:
        super().__init__()
        if not takes.n_samples or takes.n_samples % shape.patch_samples or shape.width % (2 * shape.n_heads):
            raise SpecError(f"{shape} does not fit records of {takes.n_samples} samples; use whole patches and heads")
        self.n_features, self.n_leads = shape.n_features, takes.n_leads
        self.fs_hz, self.n_samples = takes.fs_hz, cast("int | None", takes.n_samples)
        self.patch_samples = shape.patch_samples
        self.embedding = nn.Linear(takes.n_leads * shape.patch_samples, shape.width)
        self.register_buffer(
            "position", _sine_positions(takes.n_samples // shape.patch_samples, shape.width), persistent=False
        )
        self.blocks = nn.ModuleList(_Block(shape.width, shape.n_heads) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        patches = x.unfold(2, self.patch_samples, self.patch_samples).transpose(1, 2).flatten(2)
        tokens = self.embedding(patches) + cast(Tensor, self.position)
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.norm(tokens).mean(1))

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: the embedding, then each block; the last one has the last norm."""
        groups = [list(part.parameters()) for part in (self.embedding, *self.blocks)]
        groups[-1].extend(self.norm.parameters())
        return groups

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each block: its attention and its MLP have the same rate and draw apart."""
        return [cast(_Block, block).drop_path for block in self.blocks]


class _Block(nn.Module):
    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)
        self.drop_path = DropPath(n_branches=2)  # attention and MLP

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        x = self.drop_path(x, x, self._attention)
        return cast(Tensor, self.drop_path(x, x, self._mlp))

    def _attention(self, x: Tensor) -> Tensor:
        n_records, n_tokens, width = x.shape
        parts = self.qkv(self.norm1(x)).view(n_records, n_tokens, 3, self.n_heads, width // self.n_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.merge(mixed.transpose(1, 2).reshape(n_records, n_tokens, width)))

    def _mlp(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(F.gelu(self.fc1(self.norm2(x)))))


def _sine_positions(n_tokens: int, width: int) -> Float[Tensor, "token width"]:
    angle = torch.arange(n_tokens)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.cat([angle.sin(), angle.cos()], dim=1)
