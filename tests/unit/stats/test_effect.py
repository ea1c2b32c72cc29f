import math

import numpy as np
import pytest
from scipy import stats

from ablate.errors import DataError, SpecError
from ablate.stats.effect import PatientVariance, patient_variance, satterthwaite, two_source_effect

DIFFERENCES = np.array([0.012, 0.004, 0.009, 0.011, -0.002, 0.007])


def test_without_patients_variance_it_is_the_paired_t_test() -> None:
    effect = two_source_effect(DIFFERENCES, PatientVariance(0.0, math.inf))
    expected = stats.ttest_1samp(DIFFERENCES, 0)
    assert effect.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (effect.ci_low, effect.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert effect.df == pytest.approx(5)


def test_both_variances_add_up() -> None:
    effect = two_source_effect(DIFFERENCES, PatientVariance(4e-6, 30))
    seeds = DIFFERENCES.var(ddof=1) / 6
    assert effect.standard_error == pytest.approx(math.sqrt(seeds + 4e-6))
    assert effect.sd_seeds == pytest.approx(DIFFERENCES.std(ddof=1))
    assert effect.sd_patients == pytest.approx(2e-3)
    assert effect.df == pytest.approx((seeds + 4e-6) ** 2 / (seeds**2 / 5 + (4e-6) ** 2 / 30))
    half = stats.t.ppf(0.975, effect.df) * effect.standard_error
    assert effect.ci_high - effect.difference == pytest.approx(half)
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
    each = patient_variance(values, labels, np.arange(200))
    twins = patient_variance(values, labels, np.repeat(np.arange(100), 2))
    assert twins.variance == pytest.approx(2 * each.variance)


def test_known_variance_of_one_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(50)[:, None] < 20
    values = rng.normal(size=(1, 50))
    expected = values[0, :20].var(ddof=1) / 20 + values[0, 20:].var(ddof=1) / 30
    assert patient_variance(values, labels, np.arange(50)).variance == pytest.approx(expected)


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
        found.append(patient_variance(values, labels, np.arange(n_records)).variance)
    assert np.mean(found) == pytest.approx((1 / counts).sum() / n_classes**2, rel=0.05)


def test_few_patients_that_decide_give_few_degrees_of_freedom() -> None:
    labels = np.arange(1000)[:, None] < 500
    flat = np.where(np.arange(1000) % 2, 1.0, -1.0)[None]
    assert patient_variance(flat, labels, np.arange(1000)).df == pytest.approx(2000)
    spiked = np.zeros((1, 1000))
    spiked[0, :4] = 1, -1, 1, -1
    assert patient_variance(spiked, labels, np.arange(1000)).df == pytest.approx(8)


def test_bad_shapes_are_said() -> None:
    with pytest.raises(DataError, match="expected"):
        patient_variance(np.zeros((2, 5)), np.zeros((5, 3), dtype=bool), np.arange(5))
    with pytest.raises(DataError, match="at least one class"):
        patient_variance(np.zeros((0, 5)), np.zeros((5, 0), dtype=bool), np.arange(5))


def test_degrees_of_freedom_of_a_sum() -> None:
    assert satterthwaite(np.array([1.0, 0.0]), np.array([7, 3])) == pytest.approx(7)
    assert satterthwaite(np.array([1.0, 1.0]), np.array([9, 9])) == pytest.approx(18)
    assert satterthwaite(np.zeros(2), np.array([9, 9])) == math.inf
