"""What a planned confirmation can see: the smallest difference it detects, and the margin it can hold arms against."""

import math

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, stats

from ablate.errors import SpecError
from ablate.stats.two_source import satterthwaite


def detectable_difference(
    *,
    sd_seeds: float,
    sd_patients: float,
    n_blocks: int,
    df_patients: float = math.inf,
    n_contrasts: int = 1,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Smallest true difference that the two-source test finds with probability ``power``.

    Args:
        sd_seeds: standard deviation of the difference over blocks, from past trials.
        sd_patients: standard deviation of the block-averaged difference over test folds of the planned size.
        n_contrasts: of the family; the strictest step of Holm's correction is planned for.

    Raises:
        SpecError: fewer than two blocks.
    """
    error, df = _error(sd_seeds, sd_patients, n_blocks, df_patients)
    if error == 0:
        return 0.0
    critical = float(stats.t.isf(alpha / n_contrasts / 2, df))

    def missing(shift: float) -> float:
        return _detected(shift, critical, df) - power

    return error * float(optimize.brentq(missing, 0, critical + 2 * stats.t.isf((1 - power) / 4, df) + 10))


def detection_power(
    difference: float,
    *,
    sd_seeds: float,
    sd_patients: float,
    n_blocks: int,
    df_patients: float = math.inf,
    n_contrasts: int = 1,
    alpha: float = 0.05,
) -> float:
    """Probability that the two-source test finds a true ``difference``; arguments as ``detectable_difference``."""
    error, df = _error(sd_seeds, sd_patients, n_blocks, df_patients)
    if error == 0:
        return float(difference != 0)
    return _detected(abs(difference) / error, float(stats.t.isf(alpha / n_contrasts / 2, df)), df)


def reachable_margin(
    *,
    sd_seeds: float,
    sd_patients: float,
    n_blocks: int,
    df_patients: float = math.inf,
    n_contrasts: int = 1,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Smallest margin for which truly equal arms are called equivalent with probability ``power``.

    With ``n_blocks`` very large it is the margin that this test fold allows at all.

    Raises:
        SpecError: fewer than two blocks.
    """
    error, df = _error(sd_seeds, sd_patients, n_blocks, df_patients)
    return error * float(stats.t.isf(alpha / n_contrasts, df) + stats.t.isf((1 - power) / 2, df))


def presumed_patient_sd(
    n_positive: Int[np.ndarray, "class"], n_records: int, *, auroc: float = 0.92, correlation: float = 0.8
) -> float:
    """Presumed standard deviation of a macro AUROC difference over test folds, when there is no past trial to ask.

    Args:
        n_positive: records of each class in the test fold, 1 to ``n_records - 1``.
        auroc: presumed of every class.
        correlation: presumed between two arms' scores of a class; the classes count as independent.

    Source:
        Hanley and McNeil 1982, Radiology 143:29, equation 2.
    """
    positive = np.asarray(n_positive, dtype=float)
    negative = n_records - positive
    better_than_two, two_better = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    pairs = (positive - 1) * (better_than_two - auroc**2) + (negative - 1) * (two_better - auroc**2)
    variance = (auroc * (1 - auroc) + pairs) / (positive * negative)
    return math.sqrt(2 * (1 - correlation) * float(variance.sum())) / len(positive)


def seed_spread(scores: Float[np.ndarray, "block"], baseline: Float[np.ndarray, "block"]) -> float:
    """Standard deviation over blocks of the paired difference of two arms' past scores.

    Raises:
        SpecError: fewer than two blocks.
    """
    if len(scores) < 2:
        raise SpecError(f"past blocks: {len(scores)}; expected at least 2 to know their spread")
    return float(np.std(scores - baseline, ddof=1))


def _error(sd_seeds: float, sd_patients: float, n_blocks: int, df_patients: float) -> tuple[float, float]:
    if n_blocks < 2:
        raise SpecError(f"replicates: {n_blocks}; the spread over seeds needs at least 2 blocks, a verdict 5")
    parts = np.array([sd_seeds**2 / n_blocks, sd_patients**2])
    return math.sqrt(parts.sum()), min(1e6, satterthwaite(parts, np.array([n_blocks - 1, df_patients])))


def _detected(shift: float, critical: float, df: float) -> float:
    wrong_side = stats.nct.cdf(-critical, df, shift)  # scipy gives NaN where it is too small for its series
    return float(stats.nct.sf(critical, df, shift) + np.nan_to_num(wrong_side))
