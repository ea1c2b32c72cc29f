"""Views: two random crops of one record, disturbed as electrodes and bodies do, whose features should be similar."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """How views differ from the record.

    Args:
        crop_s: length of a view.
        gain_sd: standard deviation of each lead's gain around 1.
        noise_sd: of white noise, whose own size varies from view to view, in the record's standard deviations.
        lead_drop_rate: probability that a lead is silent, 0 to 1.
    """

    crop_s: float = 5.0
    gain_sd: float = 0.15
    noise_sd: float = 0.05
    lead_drop_rate: float = 0.1


def draw_view(
    x: Float[Tensor, "record lead sample"], disturbance: Disturbance, *, fs_hz: int, generator: torch.Generator
) -> Float[Tensor, "record lead crop"]:
    """One view of each record."""
    n_records, n_leads, n_samples = x.shape
    n_crop = min(n_samples, round(disturbance.crop_s * fs_hz))
    start = torch.randint(0, n_samples - n_crop + 1, (n_records, 1), generator=generator)
    at = (start + torch.arange(n_crop))[:, None].expand(-1, n_leads, -1)
    gain = 1 + disturbance.gain_sd * torch.randn(n_records, n_leads, 1, generator=generator)
    is_heard = torch.rand(n_records, n_leads, 1, generator=generator) >= disturbance.lead_drop_rate
    loudness = disturbance.noise_sd * torch.randn(n_records, 1, 1, generator=generator).abs()
    noise = loudness * torch.randn(n_records, n_leads, n_crop, generator=generator)
    return (x.gather(2, at) * gain + noise) * is_heard
