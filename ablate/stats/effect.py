"""The effect of a contrast: its size, its two sources of variance, an interval and a test.

The difference varies with the seeds (blocks) and with which patients are in the test fold. A test over seeds alone
answers only for the very fold at hand and rejects far too many true nulls; see ``benchmarks/calibration.md``.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from ablate.errors import DataError, SpecError

_RARE = 5  # a class with so few records of an outcome may lend its variance to one that has a single record


@dataclass(frozen=True)
class PatientVariance:
    """Variance of a macro score, or of a difference of them, over test folds of other patients.

    Attributes:
        df: degrees of freedom of the estimate; few where rare classes decide it.
    """

    variance: float
    df: float


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A difference with its interval: variance = sd_seeds² / n_blocks + sd_patients².

    Attributes:
        sd_seeds: standard deviation of the blocks' differences.
        sd_patients: standard deviation, over test folds, of the difference averaged over blocks.
        df: degrees of freedom of the t distribution used.
        p: two-sided, against no difference.
    """

    difference: float
    n_blocks: int
    sd_seeds: float
    sd_patients: float
    df: float
    ci_low: float
    ci_high: float
    p: float

    @property
    def standard_error(self) -> float:
        """Of the difference, from both sources."""
        return math.sqrt(self.sd_seeds**2 / self.n_blocks + self.sd_patients**2)


def patient_variance(
    influence: Float[np.ndarray, "class record"],
    labels: Bool[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
) -> PatientVariance:
    """Variance of the mean over classes, from influence values summed by patient.

    A class with one positive shows nothing of how another positive would have fared. It borrows the variance of one
    positive's influence from the classes with two to five; otherwise it would count as known exactly.

    Args:
        influence: of a score, or the same weighted combination of influences as of scores.
        labels: of the classes that count.

    Raises:
        DataError: shapes differ, the set of classes is empty, or no class has two records of each outcome.

    Source:
        DeLong et al. 1988 with Obuchowski's 1997 sums by cluster; degrees of freedom as Satterthwaite 1946, over the
        outcomes of the classes. The borrowed part is ours.
    """
    n_classes, n_records = influence.shape
    if labels.shape != (n_records, n_classes) or patients.shape != (n_records,) or n_classes == 0:
        raise DataError(
            f"influence {influence.shape}, labels {labels.shape}, patients {patients.shape}: expected one set"
        )
    _, patient = np.unique(patients, return_inverse=True)
    by_patient = np.bincount(patient, influence.mean(axis=0))
    positive = labels.T
    number = np.concatenate([positive.sum(axis=1), (~positive).sum(axis=1)])
    square = influence**2
    part = np.concatenate([np.where(positive, square, 0).sum(axis=1), np.where(positive, 0, square).sum(axis=1)])
    borrowed, borrowed_df = _borrowed(part, number)
    parts = np.append(part[number > 1], borrowed) / n_classes**2
    dfs = np.append(number[number > 1] - 1, borrowed_df)
    return PatientVariance(float((by_patient**2).sum() + borrowed / n_classes**2), satterthwaite(parts, dfs))


def _borrowed(part: Float[np.ndarray, "outcome"], number: Int[np.ndarray, "outcome"]) -> tuple[float, float]:
    """Summed variance of the outcomes that have one record, and its degrees of freedom."""
    n_single = int((number == 1).sum())
    if not (number > 1).any():
        raise DataError("labels: no class has two records of an outcome; the patients' variance cannot be estimated")
    if n_single == 0:
        return 0.0, math.inf
    fewest = max(_RARE, int(number[number > 1].min()))
    lender = (number > 1) & (number <= fewest)
    of_one = part[lender] * number[lender]
    return float(n_single * of_one.mean()), satterthwaite(of_one, number[lender] - 1)


def satterthwaite(parts: Float[np.ndarray, "part"], dfs: Float[np.ndarray, "part"]) -> float:
    """Degrees of freedom of a sum of independent variance estimates; infinite when all are zero."""
    spread = float((parts**2 / dfs).sum())
    return float(parts.sum()) ** 2 / spread if spread > 0 else math.inf


def two_source_effect(
    differences: Float[np.ndarray, "block"], patients: PatientVariance, *, level: float = 0.95
) -> Effect:
    """Mean difference over blocks with a t interval from the seeds' and the patients' variance.

    Args:
        differences: score of the arm minus score of the baseline, for each block.
        patients: variance of the block-averaged difference over test folds.
        level: coverage of the interval.

    Raises:
        SpecError: fewer than two blocks.
    """
    n_blocks = len(differences)
    if n_blocks < 2:
        raise SpecError(f"replicates: {n_blocks} finished; the spread over seeds needs at least 2 blocks, a verdict 5")
    seeds = float(np.var(differences, ddof=1))
    parts = np.array([seeds / n_blocks, patients.variance])
    df = satterthwaite(parts, np.array([n_blocks - 1, patients.df]))
    difference, error = float(np.mean(differences)), math.sqrt(parts.sum())
    half = float(stats.t.ppf((1 + level) / 2, df)) * error
    return Effect(
        difference=difference,
        n_blocks=n_blocks,
        sd_seeds=math.sqrt(seeds),
        sd_patients=math.sqrt(patients.variance),
        df=df,
        ci_low=difference - half,
        ci_high=difference + half,
        p=t_tail(abs(difference), error, df) * 2,
    )


def t_tail(difference: float, error: float, df: float) -> float:
    """Probability that a t variable exceeds ``difference / error``; without any error 0, 1/2 or 1."""
    if error == 0:
        return (1 - float(np.sign(difference))) / 2
    return float(stats.t.sf(difference / error, df))
