"""ST-MEM's transformer, with its authors' key names: a token for each lead and patch in time.

Source: Na et al. 2024, arXiv 2402.09450, and its code: every lead's patches stand between two separators, tokens carry
a position and a lead, features are the mean over leads and patches.
"""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ablate.model.catalogue import Input, StMemShape
from ablate.model.drop_path import DropPath


class StMem(nn.Module):
    """Tokens, pre-norm blocks, the mean over tokens, a last norm."""

    def __init__(self, shape: StMemShape, takes: Input) -> None:
        super().__init__()
        assert takes.n_samples is not None and takes.n_samples % shape.patch_samples == 0, "whole patches"
        self.n_features, self.n_leads, self.fs_hz = shape.n_features, takes.n_leads, takes.fs_hz
        self.n_samples: int | None = takes.n_samples
        self.patch_samples = shape.patch_samples
        n_patches = takes.n_samples // shape.patch_samples
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, n_patches + 2, shape.width))
        self.sep_embedding = nn.Parameter(0.02 * torch.randn(shape.width))
        self.to_patch_embedding = nn.Sequential(
            nn.Identity(),  # where the authors cut patches
            nn.LayerNorm(shape.patch_samples),
            nn.Linear(shape.patch_samples, shape.width),
            nn.LayerNorm(shape.width),
        )
        self.lead_embeddings = nn.ParameterList(0.02 * torch.randn(shape.width) for _ in range(takes.n_leads))
        self._names = [f"block{index}" for index in range(shape.depth)]
        for name in self._names:
            self.add_module(name, _Block(shape))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        tokens = self.to_patch_embedding(x.reshape(len(x), self.n_leads, -1, self.patch_samples))
        ends = self.sep_embedding.expand(len(x), self.n_leads, 1, -1)
        leads = torch.stack(list(self.lead_embeddings))[:, None]
        tokens = torch.cat([ends, tokens, ends], 2) + self.pos_embedding[:, None] + leads
        n_places, tokens = tokens.shape[2], tokens.flatten(1, 2)
        for block in self._blocks():
            tokens = block(tokens)
        patches = tokens.unflatten(1, (self.n_leads, n_places))[:, :, 1:-1]
        return cast(Tensor, self.norm(patches.mean((1, 2))))

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: embeddings, then each block; the last one has the last norm."""
        embeddings = [*self.to_patch_embedding.parameters(), *self.lead_embeddings]
        groups = [[self.pos_embedding, self.sep_embedding, *embeddings]]
        groups += [list(block.parameters()) for block in self._blocks()]
        groups[-1].extend(self.norm.parameters())
        return groups

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each block: its attention and its MLP have the same rate and draw apart."""
        return [block.drop_path for block in self._blocks()]

    @staticmethod
    def is_unused(key: str) -> bool:
        """Whether a checkpoint's entry belongs to pre-training's decoder or to a head."""
        return key.startswith(("decoder", "to_decoder", "mask_embedding", "head."))

    def _blocks(self) -> "list[_Block]":
        return [cast(_Block, getattr(self, name)) for name in self._names]


class _Block(nn.Module):
    def __init__(self, shape: StMemShape) -> None:
        super().__init__()
        self.attn = _Normed(shape.width, _Attention(shape))
        self.ff = _Normed(shape.width, _Mlp(shape))
        self.drop_path = DropPath(n_branches=2)  # attention and MLP

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        x = self.drop_path(x, x, self.attn)
        return cast(Tensor, self.drop_path(x, x, self.ff))


class _Normed(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), fn

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fn(self.norm(x)))


class _Attention(nn.Module):
    def __init__(self, shape: StMemShape) -> None:
        super().__init__()
        self.n_heads = shape.n_heads
        self.to_qkv = nn.Linear(shape.width, 3 * shape.width)
        self.to_out = nn.Sequential(nn.Linear(shape.width, shape.width))

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        query, key, value = self.to_qkv(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.to_out(mixed.transpose(1, 2).flatten(2)))


class _Mlp(nn.Module):
    def __init__(self, shape: StMemShape) -> None:
        super().__init__()
        # The authors' dropout (rate 0) keeps its places in the numbering.
        first, second = nn.Linear(shape.width, shape.mlp_width), nn.Linear(shape.mlp_width, shape.width)
        self.net = nn.Sequential(first, nn.GELU(), nn.Identity(), second)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.net(x))
