"""Small tests that contrasts and sections share: equivalence, sign flips and rank correlation."""

import math

import numpy as np
from jaxtyping import Float
from scipy import stats

from ablate.errors import SpecError
from ablate.stats.effect import Effect

MIN_PAIRS = 3  # of trials, below which there is no order to speak of
MOST_FLIPPED = 40  # blocks of a sign-flip test; half of them are enumerated at a time


def tost(effect: Effect, margin: float | None) -> float:
    """P-value against a difference of ``margin`` or more in either direction; NaN without a margin.

    Raises:
        SpecError: the margin is not positive.

    Source:
        Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657.
    """
    if margin is None:
        return math.nan
    if not margin > 0:
        raise SpecError(f"margin: {margin}; expected a positive difference below which arms count as equivalent")
    away = margin - abs(effect.difference)
    return effect.reference.p(away) / 2 if away > 0 else 1 - effect.reference.p(-away) / 2


def sign_flip(differences: Float[np.ndarray, "block"]) -> float:
    """Two-sided exact p-value over all 2^n sign patterns; answers for the seeds only, not for other patients.

    Its smallest value is 2 / 2^n: five blocks can never reach 0.05.

    Raises:
        SpecError: no block, or more than 40.

    Source:
        Fisher 1935, The Design of Experiments, section 21; counted by meeting in the middle.
    """
    differences = np.asarray(differences, dtype=float)
    if not 1 <= len(differences) <= MOST_FLIPPED:
        raise SpecError(f"replicates: {len(differences)} finished; the sign-flip test takes 1 to {MOST_FLIPPED} blocks")
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


def rank_correlation(first: Float[np.ndarray, "trial"], second: Float[np.ndarray, "trial"]) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b.

    Returns:
        NaN for both with fewer than three trials, or where all of one side are equal.
    """
    if len(first) < MIN_PAIRS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan
    return float(stats.spearmanr(first, second).statistic), float(stats.kendalltau(first, second).statistic)
