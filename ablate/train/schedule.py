"""The learning rate over a stage: a linear warm-up, then a cosine down to a share of the peak."""

import math


def rate_factor(step: int, *, n_steps: int, warmup_fraction: float = 0.0, min_ratio: float = 0.0) -> float:
    """The learning rate of ``step`` over the peak rate.

    The warm-up takes ``round(warmup_fraction * n_steps)`` steps and ends at the peak. The first step after it has the
    peak rate too, the last one of the stage has ``min_ratio`` of it.

    Args:
        step: from 0 to ``n_steps - 1``.
        n_steps: of the whole stage.
        warmup_fraction: in [0, 1).
        min_ratio: in [0, 1].

    Source:
        Loshchilov and Hutter 2017, equation 5, without restarts.
    """
    n_warmup = round(warmup_fraction * n_steps)
    if step < n_warmup:
        return (step + 1) / n_warmup
    n_falling = max(n_steps - n_warmup - 1, 1)
    done = (step - n_warmup) / n_falling
    return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * done)) / 2
