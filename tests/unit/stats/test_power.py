import math

import numpy as np
import pytest
from scipy import stats

from ablate.errors import SpecError
from ablate.stats.power import (
    detectable_difference,
    detection_power,
    presumed_patient_sd,
    reachable_margin,
    seed_spread,
)

PLAN = {"sd_seeds": 0.006, "sd_patients": 0.002, "n_blocks": 10, "df_patients": 40}


def test_power_at_the_detectable_difference() -> None:
    assert detection_power(detectable_difference(**PLAN), **PLAN) == pytest.approx(0.8)
    assert detection_power(
        detectable_difference(**PLAN, power=0.95, n_contrasts=3), **PLAN, n_contrasts=3
    ) == pytest.approx(0.95)
    assert detection_power(0.0, **PLAN) == pytest.approx(0.05)


def test_textbook_case_of_seeds_alone() -> None:
    """A paired t-test with 34 pairs finds half a standard deviation with 80 % power."""
    found = detectable_difference(sd_seeds=1.0, sd_patients=0.0, n_blocks=34)
    assert found == pytest.approx(0.495, abs=0.005)


def test_power_is_that_of_the_test() -> None:
    rng = np.random.default_rng(0)
    blocks = 0.005 + rng.normal(0, 0.006, (4000, 10))
    found = (stats.ttest_1samp(blocks, 0, axis=1).pvalue < 0.05).mean()
    planned = detection_power(0.005, sd_seeds=0.006, sd_patients=0.0, n_blocks=10)
    assert planned == pytest.approx(found, abs=0.03)


def test_more_blocks_never_beat_the_test_fold() -> None:
    few, many = (detectable_difference(**{**PLAN, "n_blocks": n}) for n in (5, 10_000))
    assert few > many > 1.96 * PLAN["sd_patients"]
    assert reachable_margin(**{**PLAN, "n_blocks": 10_000}) > 2 * PLAN["sd_patients"]


def test_margin_is_reached_by_equal_arms_in_four_of_five() -> None:
    rng = np.random.default_rng(0)
    margin = reachable_margin(sd_seeds=1.0, sd_patients=0.0, n_blocks=30)
    means, errors = (blocks := rng.normal(size=(4000, 30))).mean(axis=1), blocks.std(axis=1, ddof=1) / math.sqrt(30)
    equivalent = np.abs(means) + stats.t.isf(0.05, 29) * errors < margin
    assert equivalent.mean() == pytest.approx(0.8, abs=0.03)


def test_presumed_patients_spread() -> None:
    """Of one class it is Hanley and McNeil's: AUROC .9, 50 and 50 records, standard error .0321 for one arm."""
    found = presumed_patient_sd(np.array([50]), 100, auroc=0.9, correlation=0.5)
    assert found == pytest.approx(0.0321, abs=0.0001)
    assert presumed_patient_sd(np.array([1] * 71), 2198) > presumed_patient_sd(np.array([50] * 71), 2198)


def test_seed_spread_is_of_paired_differences() -> None:
    assert seed_spread(np.array([0.9, 0.92]), np.array([0.8, 0.82])) == pytest.approx(0, abs=1e-12)
    with pytest.raises(SpecError, match="at least 2"):
        seed_spread(np.array([0.9]), np.array([0.8]))


def test_one_block_is_an_error() -> None:
    with pytest.raises(SpecError, match="replicates: 1"):
        detectable_difference(sd_seeds=1.0, sd_patients=1.0, n_blocks=1)


def test_no_spread_detects_anything() -> None:
    assert detectable_difference(sd_seeds=0.0, sd_patients=0.0, n_blocks=5) == 0
