"""The prospect of a look: with what probability the last one decides, given this one."""

import math

import numpy as np
from jaxtyping import Float
from scipy import special


def prospect(
    difference: Float[np.ndarray, "*any"] | float,
    *,
    error: float,
    last_error: float,
    level: float,
    margin: float | None,
) -> Float[np.ndarray, "*any"]:
    """Probability that the last planned look leaves out zero, or lies within the margin.

    The difference then varies about the present one with what the further blocks take from its variance. Nothing is
    spent by asking: stopping for want of prospect is never binding.

    Args:
        difference: at this look.
        error: its standard error now.
        last_error: that at the last look.
        level: of a two-sided claim there.
        margin: of equivalence; none where None.
    """
    half = -float(special.ndtri(level / 2)) * last_error
    spread = math.sqrt(max(error**2 - last_error**2, 1e-18))

    def below(value: float) -> Float[np.ndarray, "*any"]:
        return np.asarray(special.ndtr((value - difference) / spread))

    chance = 1 - below(half) + below(-half)
    if margin is not None and half < margin:
        inside = min(margin - half, half)
        chance = chance + (below(inside) - below(-inside))
    return np.asarray(np.minimum(1.0, chance))
