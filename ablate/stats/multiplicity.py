"""Several contrasts tested at once: Holm's correction within a family, and a second family behind the first."""

import numpy as np
from jaxtyping import Bool, Float

from ablate.errors import DataError


def holm(p: Float[np.ndarray, "test"]) -> Float[np.ndarray, "test"]:
    """Holm-adjusted p-values; NaN stays NaN and does not count as a test.

    Raises:
        DataError: a p-value is outside 0 to 1.

    Source:
        Holm 1979, Scand. J. Stat. 6:65.
    """
    p = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise DataError(f"p-values: {p.tolist()}; expected numbers from 0 to 1")
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def holm_behind(p: Float[np.ndarray, "test"], passed: Bool[np.ndarray, "test"]) -> Float[np.ndarray, "test"]:
    """Holm over the tests whose gate in the first family has passed; NaN for the others, which are not tested."""
    return holm(np.where(passed, p, np.nan))
