import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ablate.errors import SpecError
from ablate.stats.effect import PatientVariance, two_source_effect
from ablate.stats.hypothesis_test import rank_correlation, sign_flip, tost

NEAR_ZERO = np.array([0.001, -0.001, 0.002, -0.002, 0.0005, 0.0])


def test_it_is_what_scipy_says_and_ties_do_not_disturb() -> None:
    first, second = np.array([0.1, 0.2, 0.2, 0.4, 0.5]), np.array([1.0, 3.0, 2.0, 2.0, 9.0])
    rho, tau = rank_correlation(first, second)
    assert rho == pytest.approx(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])
    assert tau == pytest.approx((7 - 1) / 9)  # 7 pairs agree, 1 does not, 1 is tied on either side: 6 / sqrt(9 * 9)


def test_too_few_or_equal_values_have_no_order() -> None:
    for first, second in ([[1, 2], [1, 2]], [[1, 1, 1], [1, 2, 3]], [[1, 2, 3], [4, 4, 4]]):
        assert all(math.isnan(value) for value in rank_correlation(np.array(first), np.array(second)))


def enumerated(differences: np.ndarray) -> float:
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    return float(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12))


@pytest.mark.parametrize("n_blocks", [1, 2, 5, 10, 11])
def test_equal_to_enumeration(n_blocks: int) -> None:
    rng = np.random.default_rng(n_blocks)
    for differences in (rng.normal(0.5, 1, n_blocks), rng.integers(-2, 4, n_blocks) / 10):
        assert sign_flip(differences) == pytest.approx(enumerated(differences))


def test_five_blocks_never_reach_five_percent() -> None:
    assert sign_flip(np.ones(5)) == 2 / 32
    assert sign_flip(np.zeros(5)) == 1


def test_too_few_and_too_many() -> None:
    with pytest.raises(SpecError, match="1 to 40"):
        sign_flip(np.array([]))
    with pytest.raises(SpecError, match="1 to 40"):
        sign_flip(np.ones(41))


@pytest.mark.parametrize("shift", [-0.003, 0.0, 0.003, 0.02])
def test_equivalence_is_two_one_sided_t_tests(shift: float) -> None:
    effect = two_source_effect(NEAR_ZERO + shift, PatientVariance(0.0, math.inf))
    below = stats.ttest_1samp(NEAR_ZERO + shift, 0.005, alternative="less").pvalue
    above = stats.ttest_1samp(NEAR_ZERO + shift, -0.005, alternative="greater").pvalue
    assert tost(effect, 0.005) == pytest.approx(max(below, above), rel=1e-3)


def test_no_margin_no_equivalence() -> None:
    effect = two_source_effect(NEAR_ZERO, PatientVariance(0.0, math.inf))
    assert math.isnan(tost(effect, None))
    with pytest.raises(SpecError, match="margin: 0"):
        tost(effect, 0.0)
