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

_RARE = 5  # records of an outcome, up to which classes share a mean


@dataclass(frozen=True)
class PatientVariance:
    """Variance of a macro score, or of a difference of them, over test folds of other patients.

    Attributes:
        df: degrees of freedom of the estimate; few where few patients decide it.
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
    pseudo_values: Float[np.ndarray, "class record"],
    labels: Bool[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
) -> PatientVariance:
    """Variance of the mean over classes, from the pseudo-values' deviations summed by patient.

    Deviations are from the mean of the outcome in the class. Classes with fewer than six records of an outcome share
    one mean: an own mean would take most of what such records vary together with them, all of it for a single record,
    and rare classes make most of the macro mean's variance. Where rare classes truly differ this errs to the wide side.

    Args:
        pseudo_values: of scores, or the same weighted combination of pseudo-values as of scores.
        labels: of the classes that count.

    Raises:
        DataError: shapes differ or the set of classes is empty.

    Source:
        DeLong et al. 1988, with sums by cluster as Obuchowski 1997, Biometrics 53:567; degrees of freedom as
        Satterthwaite 1946, from the patients' fourth powers. The shared mean is ours.
    """
    n_classes, n_records = pseudo_values.shape
    if labels.shape != (n_records, n_classes) or patients.shape != (n_records,) or n_classes == 0:
        raise DataError(
            f"pseudo-values {pseudo_values.shape}, labels {labels.shape}, patients {patients.shape}: expected"
            " (class, record), (record, class), (record) with at least one class"
        )
    deviation = np.zeros(n_records)
    for chosen in (labels.T, ~labels.T):
        deviation += _deviations(pseudo_values, chosen).sum(axis=0) / n_classes
    _, patient = np.unique(patients, return_inverse=True)
    square = np.bincount(patient, deviation) ** 2
    variance, fourth = float(square.sum()), float((square**2).sum())
    return PatientVariance(variance, 2 * variance**2 / fourth if fourth > 0 else math.inf)


def _deviations(
    pseudo_values: Float[np.ndarray, "class record"], chosen: Bool[np.ndarray, "class record"]
) -> Float[np.ndarray, "class record"]:
    """Each record's part in the deviation of its class's score, for the records of one outcome."""
    number = chosen.sum(axis=1, keepdims=True)
    rare = number <= _RARE
    values = np.where(chosen, pseudo_values, 0)
    total = np.where(rare, values[rare[:, 0]].sum(), values.sum(axis=1, keepdims=True))
    size = np.where(rare, number[rare].sum(), number)
    unbiased = np.sqrt(size / np.maximum(size - 1, 1)) / number
    return np.where(chosen, (values - total / size) * unbiased, 0)


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
