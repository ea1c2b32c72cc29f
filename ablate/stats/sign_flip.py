"""Exact sign-flip test over blocks: would another assignment of the signs give as large a difference?"""

import numpy as np
from jaxtyping import Float

from ablate.errors import SpecError

_MOST = 40  # blocks; half of them are enumerated at a time


def sign_flip(differences: Float[np.ndarray, "block"]) -> float:
    """Two-sided exact p-value over all 2^n sign patterns; answers for the seeds only, not for other patients.

    Its smallest value is 2 / 2^n: five blocks can never reach 0.05.

    Raises:
        SpecError: no block, or more than 40.

    Source:
        Fisher 1935, The Design of Experiments, section 21; counted by meeting in the middle.
    """
    differences = np.asarray(differences, dtype=float)
    if not 1 <= len(differences) <= _MOST:
        raise SpecError(f"replicates: {len(differences)} finished; the sign-flip test takes 1 to {_MOST} blocks")
    observed = abs(float(np.sum(differences)))
    # Patterns that tie with the observed one must count although sums round differently.
    reach = observed - 1e-12 * float(np.abs(differences).sum())
    half = len(differences) // 2
    left, right = _sums(differences[:half]), np.sort(_sums(differences[half:]))
    above = len(right) - np.searchsorted(right, reach - left)
    below = np.searchsorted(right, -reach - left, side="right")
    n_patterns = 2.0 ** len(differences)
    return min(1.0, (int(above.sum()) + int(below.sum())) / n_patterns)


def _sums(values: Float[np.ndarray, "block"]) -> Float[np.ndarray, "pattern"]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums
