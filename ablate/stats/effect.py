"""The effect of a contrast: its size, its two sources of variance, an interval and a test.

The difference varies with the seeds (blocks) and with which patients are in the test fold. A test over seeds alone
answers only for the very fold at hand and rejects far too many true nulls; see ``benchmarks/calibration.md``.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from ablate.errors import DataError, SpecError
from ablate.stats.two_source import TwoSource, satterthwaite

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
    """A difference with its interval: variance = sd_seeds² / n_units + sd_patients².

    Attributes:
        n_units: blocks, or searches where several of them share the blocks.
        sd_seeds: standard deviation of the units' differences.
        sd_patients: standard deviation, over test folds, of what all blocks have in common.
        ci_low, ci_high: 95 %, for this difference alone.
        p: two-sided, against no difference.
    """

    difference: float
    n_units: int
    sd_seeds: float
    sd_patients: float
    df_patients: float
    ci_low: float
    ci_high: float
    p: float

    @property
    def reference(self) -> TwoSource:
        """Distribution of the difference about its true value."""
        seeds = self.sd_seeds / math.sqrt(self.n_units)
        return TwoSource(seeds, self.sd_patients, self.n_units - 1, self.df_patients)

    @property
    def p_superior(self) -> float:
        """Probability that the next unit, on a fold of other patients, has a difference above zero.

        The difference to come varies about the true one as much as the estimate does, and with a spread of its own:
        s² (1 + 1 / n) from the seeds and twice the patients' variance.
        """
        parts = np.array([self.sd_seeds**2 * (1 + 1 / self.n_units), 2 * self.sd_patients**2])
        df = satterthwaite(parts, np.array([self.n_units - 1, self.df_patients]))
        if not parts.sum():
            return (1 + float(np.sign(self.difference))) / 2
        return float(special.stdtr(min(df, 1e9), self.difference / math.sqrt(parts.sum())))

    def on_logit_scale(self) -> "Effect":
        """The same score with an interval that is symmetric in its log odds and never leaves 0 to 1."""
        if not 0 < self.difference < 1:
            return self
        half = self.reference.quantile(0.05) / (self.difference * (1 - self.difference))
        centre = math.log(self.difference / (1 - self.difference))
        low, high = (1 / (1 + math.exp(-value)) for value in (centre - half, centre + half))
        return replace(self, ci_low=low, ci_high=high)


def patient_parts(
    pseudo_values: Float[np.ndarray, "class record"],
    labels: Bool[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
) -> Float[np.ndarray, "patient"]:
    """Each patient's part in the mean over classes; the squares of all parts sum to its variance over test folds.

    Parts are sums of pseudo-values' deviations from the mean of the outcome in the class. Classes with fewer than six
    records of an outcome share one mean: an own mean would take most of what such records vary together with them, all
    of it for a single record, and rare classes make most of the macro mean's variance. Where rare classes truly differ
    this errs to the wide side.

    Args:
        pseudo_values: of scores, or the same weighted combination of pseudo-values as of scores.
        labels: of the classes that count.

    Returns:
        In the order of the patients' numbers. Parts of a weighted combination are the weighted combination of parts.

    Raises:
        DataError: shapes differ or the set of classes is empty.

    Source:
        DeLong et al. 1988, with sums by cluster as Obuchowski 1997, Biometrics 53:567. The shared mean is ours.
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
    return np.bincount(patient, deviation)


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


def crossed_covariance(parts: Float[np.ndarray, "contrast unit patient"]) -> Float[np.ndarray, "contrast contrast"]:
    """Covariance, over test folds, of what the units of each contrast have in common.

    The average over units still holds some of the noise that every seed has on every patient, which the spread between
    units counts already. Products of different units are free of it: (S B - A) / (S - 1), with A the mean variance of
    a unit and B that of the average.

    Raises:
        SpecError: fewer than two units.

    Source:
        Obuchowski and Rockette 1995, Commun. Stat. Simul. 24:285: readers and patients crossed.
    """
    n_units = parts.shape[1]
    if n_units < 2:
        raise SpecError(f"replicates: {n_units} finished; the spread over seeds needs at least 2 blocks, a verdict 5")
    average = parts.mean(axis=1)
    of_average = average @ average.T
    of_unit = np.einsum("aup,bup->ab", parts, parts) / n_units
    return np.asarray((n_units * of_average - of_unit) / (n_units - 1))


def crossed_variance(parts: Float[np.ndarray, "unit patient"]) -> PatientVariance:
    """``crossed_covariance`` of one contrast, at least zero; degrees of freedom from the patients' fourth powers.

    Source:
        Satterthwaite 1946, Biometrics Bull. 2:110.
    """
    square = parts.mean(axis=0) ** 2
    fourth = float((square**2).sum())
    df = 2 * float(square.sum()) ** 2 / fourth if fourth > 0 else math.inf
    return PatientVariance(max(0.0, float(crossed_covariance(parts[None])[0, 0])), df)


def two_source_effect(differences: Float[np.ndarray, "unit"], patients: PatientVariance) -> Effect:
    """Mean difference over units with an interval from the seeds' and the patients' variance.

    Args:
        differences: score of the arm minus score of the baseline, for each unit.
        patients: variance, over test folds, of what the units have in common.

    Raises:
        SpecError: fewer than two units.
    """
    n_units = len(differences)
    if n_units < 2:
        raise SpecError(f"replicates: {n_units} finished; the spread over seeds needs at least 2 blocks, a verdict 5")
    difference, sd_seeds = float(np.mean(differences)), float(np.std(differences, ddof=1))
    reference = TwoSource(sd_seeds / math.sqrt(n_units), math.sqrt(patients.variance), n_units - 1, patients.df)
    half = reference.quantile(0.05)
    return Effect(
        difference=difference,
        n_units=n_units,
        sd_seeds=sd_seeds,
        sd_patients=math.sqrt(patients.variance),
        df_patients=patients.df,
        ci_low=difference - half,
        ci_high=difference + half,
        p=reference.p(difference),
    )
