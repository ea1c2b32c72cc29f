import math

import numpy as np
import pytest
from scipy import stats

from ablate.errors import DataError, SpecError
from ablate.stats.effect import PatientVariance, crossed_variance, patient_parts, two_source_effect
from ablate.stats.two_source import satterthwaite

DIFFERENCES = np.array([0.012, 0.004, 0.009, 0.011, -0.002, 0.007])


def variance(values: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> float:
    """Of a single block's score."""
    return float((patient_parts(values, labels, patients) ** 2).sum())


def test_without_patients_variance_it_is_the_paired_t_test() -> None:
    effect = two_source_effect(DIFFERENCES, PatientVariance(0.0, math.inf))
    expected = stats.ttest_1samp(DIFFERENCES, 0)
    assert effect.p == pytest.approx(expected.pvalue, rel=1e-3)
    low, high = expected.confidence_interval(0.95)
    assert (effect.ci_low, effect.ci_high) == (pytest.approx(low, rel=1e-3), pytest.approx(high, rel=1e-3))
    assert effect.reference.df == pytest.approx(5)


def test_both_variances_add_up() -> None:
    effect = two_source_effect(DIFFERENCES, PatientVariance(4e-6, 30))
    seeds = DIFFERENCES.var(ddof=1) / 6
    assert effect.reference.error == pytest.approx(math.sqrt(seeds + 4e-6))
    assert effect.sd_seeds == pytest.approx(DIFFERENCES.std(ddof=1))
    assert effect.sd_patients == pytest.approx(2e-3)
    assert effect.reference.df == pytest.approx((seeds + 4e-6) ** 2 / (seeds**2 / 5 + (4e-6) ** 2 / 30))
    assert effect.reference.p(effect.ci_high - effect.difference) == pytest.approx(0.05, rel=1e-3)
    assert (effect.p < 0.05) == (effect.ci_low > 0)


def test_identical_arms_have_no_effect_and_no_p_value_below_one() -> None:
    effect = two_source_effect(np.zeros(5), PatientVariance(0.0, math.inf))
    assert (effect.difference, effect.p, effect.ci_low, effect.ci_high) == (0, 1, 0, 0)


def test_one_block_is_an_error() -> None:
    with pytest.raises(SpecError, match="replicates: 1 finished"):
        two_source_effect(DIFFERENCES[:1], PatientVariance(0.0, math.inf))


def test_records_of_a_patient_count_together() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.random((100, 1)) < 0.4, 2, axis=0)
    values = np.repeat(rng.normal(size=(1, 100)), 2, axis=1)
    each = variance(values, labels, np.arange(200))
    twins = variance(values, labels, np.repeat(np.arange(100), 2))
    assert twins == pytest.approx(2 * each)


def test_known_variance_of_one_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(50)[:, None] < 20
    values = rng.normal(size=(1, 50))
    expected = values[0, :20].var(ddof=1) / 20 + values[0, 20:].var(ddof=1) / 30
    assert variance(values, labels, np.arange(50)) == pytest.approx(expected)


def test_rare_classes_share_a_mean_and_single_positives_count() -> None:
    """In the mean over many tries the variance of rare classes is right, that of single positives included."""
    rng = np.random.default_rng(0)
    n_classes, n_records = 30, 400
    counts = np.repeat([1, 2, 5], 10)
    labels = np.zeros((n_records, n_classes), dtype=bool)
    for k, count in enumerate(counts):
        labels[rng.choice(n_records, count, replace=False), k] = True
    found = []
    for _ in range(200):
        values = np.where(labels.T, rng.normal(size=(n_classes, n_records)), 0)
        found.append(variance(values, labels, np.arange(n_records)))
    assert np.mean(found) == pytest.approx((1 / counts).sum() / n_classes**2, rel=0.05)


def test_few_patients_that_decide_give_few_degrees_of_freedom() -> None:
    labels = np.arange(1000)[:, None] < 500
    flat = np.where(np.arange(1000) % 2, 1.0, -1.0)[None]
    patients = np.arange(1000)
    assert crossed_variance(np.tile(patient_parts(flat, labels, patients), (3, 1))).df == pytest.approx(2000)
    spiked = np.zeros((1, 1000))
    spiked[0, :4] = 1, -1, 1, -1
    assert crossed_variance(np.tile(patient_parts(spiked, labels, patients), (3, 1))).df == pytest.approx(8)


def test_bad_shapes_are_said() -> None:
    with pytest.raises(DataError, match="expected"):
        patient_parts(np.zeros((2, 5)), np.zeros((5, 3), dtype=bool), np.arange(5))
    with pytest.raises(DataError, match="at least one class"):
        patient_parts(np.zeros((0, 5)), np.zeros((5, 0), dtype=bool), np.arange(5))


def test_degrees_of_freedom_of_a_sum() -> None:
    assert satterthwaite(np.array([1.0, 0.0]), np.array([7, 3])) == pytest.approx(7)
    assert satterthwaite(np.array([1.0, 1.0]), np.array([9, 9])) == pytest.approx(18)
    assert satterthwaite(np.zeros(2), np.array([9, 9])) == math.inf


def test_what_seeds_do_to_patients_is_not_counted_twice() -> None:
    """The variance of what blocks have in common, in the mean over many tries; that of their average is larger."""
    rng = np.random.default_rng(0)
    common, crossed, averaged = 0.5, [], []
    for _ in range(300):
        parts = np.sqrt(common / 200) * rng.normal(size=200) + rng.normal(size=(5, 200)) / np.sqrt(200)
        crossed.append(crossed_variance(parts).variance)
        averaged.append((parts.mean(axis=0) ** 2).sum())
    assert np.mean(crossed) == pytest.approx(common, rel=0.05)
    assert np.mean(averaged) == pytest.approx(common + 1 / 5, rel=0.05)


def test_the_same_in_every_block_is_the_variance_of_one() -> None:
    parts = np.random.default_rng(0).normal(size=50)
    assert crossed_variance(np.tile(parts, (4, 1))).variance == pytest.approx((parts**2).sum())


def test_the_next_replicate_varies_more_than_the_mean() -> None:
    effect = two_source_effect(DIFFERENCES, PatientVariance(0.0, math.inf))
    spread = DIFFERENCES.std(ddof=1) * math.sqrt(1 + 1 / 6)
    assert effect.p_superior == pytest.approx(stats.t.cdf(DIFFERENCES.mean() / spread, 5))
    assert two_source_effect(DIFFERENCES, PatientVariance(1e-4, 30)).p_superior < effect.p_superior


def test_an_interval_of_a_score_stays_below_one() -> None:
    effect = two_source_effect(np.array([0.98, 0.99, 0.90, 0.995, 0.7]), PatientVariance(1e-4, 20))
    own = effect.on_logit_scale()
    assert effect.ci_high > 1
    assert 0 < own.ci_low < own.difference < own.ci_high < 1
    assert own.difference - own.ci_low > own.ci_high - own.difference
