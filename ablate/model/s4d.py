"""A diagonal structured state-space encoder (S4D).

Source: Gu et al. 2022, arXiv 2206.11893, its S4D-Lin initialisation, and the stand-alone layer of its code, whose key
names the layers have; blocks as in its example: layer, shortcut, LayerNorm. On ECG: Mehari & Strodthoff 2022.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ablate.model.catalogue import Input, S4dShape
from ablate.model.drop_path import DropPath

DT_RANGE = (1e-3, 1e-1)  # of the steps at the start


class S4d(nn.Module):
    """A linear embedding of the leads, state-space blocks, the mean over time; takes any length."""

    def __init__(self, shape: S4dShape, takes: Input) -> None:
        super().__init__()
        self.n_features, self.n_leads, self.fs_hz = shape.n_features, takes.n_leads, takes.fs_hz
        self.n_samples = takes.n_samples
        self.encoder = nn.Linear(takes.n_leads, shape.width)
        self.s4_layers = nn.ModuleList(S4dLayer(shape.width, shape.n_states) for _ in range(shape.depth))
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(shape.depth))
        self.drop_paths = nn.ModuleList(DropPath() for _ in range(shape.depth))

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch feature"]:
        """Features of each record."""
        hidden = self.encoder(x.transpose(1, 2)).transpose(1, 2)
        for layer, norm, drop_path in zip(self.s4_layers, self.norms, self.drop_paths, strict=True):
            hidden = norm(drop_path(hidden, hidden, layer).transpose(1, 2)).transpose(1, 2)
        return cast(Tensor, hidden.mean(2))

    def stages(self) -> list[list[nn.Parameter]]:
        """Trainable parameters from input to output: the embedding, then each block."""
        blocks = zip(self.s4_layers, self.norms, strict=True)
        return [list(self.encoder.parameters()), *([*a.parameters(), *b.parameters()] for a, b in blocks)]

    def drop_path_layers(self) -> list[DropPath]:
        """One layer for each block."""
        return [cast(DropPath, layer) for layer in self.drop_paths]


class S4dLayer(nn.Module):
    """A convolution over the whole record with the kernel of a diagonal state space, then a gated linear map.

    Args:
        width: of the input and the output.
        n_states: of each channel, in conjugate pairs.
    """

    def __init__(self, width: int, n_states: int) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(width))
        self.kernel = _Kernel(width, n_states)
        self.output_linear = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.GLU(dim=-2))

    def forward(self, u: Float[Tensor, "batch width sample"]) -> Float[Tensor, "batch width sample"]:
        """The layer's output, as long as its input."""
        n_samples = u.shape[-1]
        with torch.autocast(u.device.type, enabled=False):  # no FFT takes bf16
            spectrum = torch.fft.rfft(u.float(), n=2 * n_samples) * torch.fft.rfft(
                self.kernel(n_samples), n=2 * n_samples
            )
            y = torch.fft.irfft(spectrum, n=2 * n_samples)[..., :n_samples] + u.float() * self.D[:, None]
        return cast(Tensor, self.output_linear(F.gelu(y)))


class _Kernel(nn.Module):
    def __init__(self, width: int, n_states: int) -> None:
        super().__init__()
        n_pairs, (low, high) = n_states // 2, (math.log(bound) for bound in DT_RANGE)
        self.C = nn.Parameter(torch.view_as_real(torch.randn(width, n_pairs, dtype=torch.cfloat)))
        self.log_dt = nn.Parameter(torch.rand(width) * (high - low) + low)
        self.log_A_real = nn.Parameter(torch.full((width, n_pairs), math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(n_pairs).float().repeat(width, 1))

    def forward(self, n_samples: int) -> Float[Tensor, "width sample"]:
        """The first ``n_samples`` of each channel's impulse response."""
        rate = torch.complex(-self.log_A_real.exp(), self.A_imag)
        step = rate * self.log_dt.exp()[:, None]
        gain = torch.view_as_complex(self.C) * (step.exp() - 1) / rate
        powers = (step[..., None] * torch.arange(n_samples, device=step.device)).exp()
        return 2 * torch.einsum("hn,hnl->hl", gain, powers).real
