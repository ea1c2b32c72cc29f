"""Features of the frozen encoder, and whether they may be kept.

A probe on kept features equals a probe through the encoder to the last bit, because both extract in batches of one
fixed size with the tail padded. It would be wrong for an encoder that is random in eval mode, changes its buffers, or
mixes the records of a batch; ``why_not_kept`` finds these, and such an encoder is probed directly.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from ablate.train.signals import Signals

BATCH = 64  # records in one forward pass; another size would give other last bits

Features = Float32[np.ndarray, "row feature"]


def forward(
    encoder: nn.Module,
    signals: Signals,
    rows: Int[np.ndarray, "row"],
    *,
    check_stop: Callable[[], None] = lambda: None,
) -> Float[Tensor, "row feature"]:
    """Features of ``rows`` on the device, in padded batches of ``BATCH``. The encoder is in eval mode."""
    padded = np.concatenate([rows, np.full(-len(rows) % BATCH, rows[0])])
    features = []
    with torch.no_grad():
        for piece in signals.rows(padded).pieces(BATCH):
            check_stop()
            features.append(encoder(signals.batch(piece)))
    return torch.cat(features)[: len(rows)].float()


def extract(
    encoder: nn.Module, signals: Signals, rows: Int[np.ndarray, "row"], *, tick: Callable[[int], None]
) -> Features:
    """Features of ``rows`` in float32, on the host.

    Args:
        encoder: in eval mode.
        signals: of the cohort.
        rows: of the cohort.
        tick: told how many batches are done; what it raises ends the extraction.
    """
    tick(0)
    features = []
    for start in range(0, len(rows), BATCH):
        features.append(forward(encoder, signals, rows[start : start + BATCH]).cpu().numpy())
        tick(len(features))
    return np.concatenate(features)


def why_not_kept(encoder: nn.Module, signals: Signals, rows: Int[np.ndarray, "row"]) -> str | None:
    """Why features of ``encoder`` must not be kept, or None. Tried on the first ``BATCH`` of ``rows``."""
    rows = rows[:BATCH]
    buffers = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    random_state = torch.get_rng_state()
    first, again, mirrored = (forward(encoder, signals, order) for order in (rows, rows, rows[::-1]))
    is_random = not torch.equal(random_state, torch.get_rng_state()) or not torch.equal(first, again)
    changed = [name for name, buffer in encoder.named_buffers() if not torch.equal(buffer, buffers[name])]
    with torch.no_grad():
        for name, buffer in encoder.named_buffers():
            buffer.copy_(buffers[name])
    if changed:
        return f"it updates its buffer {changed[0]} in eval mode"
    if is_random:
        return "it is random in eval mode"
    if not torch.allclose(mirrored.flip(0), first, rtol=1e-3, atol=1e-4):
        return "its features depend on the other records of a batch"
    return None
