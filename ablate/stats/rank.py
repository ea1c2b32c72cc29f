"""Rank correlation: how far an early score orders trials as their last one does."""

import math

import numpy as np
from jaxtyping import Float
from scipy import stats

MIN_PAIRS = 3


def rank_correlation(first: Float[np.ndarray, "trial"], second: Float[np.ndarray, "trial"]) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b.

    Returns:
        NaN for both with fewer than three trials, or where all of one side are equal.
    """
    if len(first) < MIN_PAIRS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan
    return float(stats.spearmanr(first, second).statistic), float(stats.kendalltau(first, second).statistic)
