import numpy as np
import pytest
from scipy import stats

from ablate.stats.two_source import TwoSource


@pytest.mark.parametrize(("seeds", "patients"), [(2.0, 0.0), (0.0, 2.0)])
def test_one_source_is_a_t_distribution(seeds: float, patients: float) -> None:
    reference = TwoSource(seeds, patients, 6, 6)
    assert reference.p(5.0) == pytest.approx(2 * stats.t.sf(2.5, 6), rel=1e-3)
    assert reference.quantile(0.01) == pytest.approx(2 * stats.t.isf(0.005, 6), rel=1e-3)


def test_tail_and_quantile_are_inverse() -> None:
    reference = TwoSource(0.7, 1.3, 4, 12)
    for level in (0.9, 0.05, 1e-3, 1e-8):
        assert reference.p(reference.quantile(level)) == pytest.approx(level, rel=1e-6)


def test_between_satterthwaites_t_and_the_sum_of_two() -> None:
    reference = TwoSource(0.8, 0.6, 4, 20)
    rng = np.random.default_rng(0)
    drawn = 0.8 * rng.standard_t(4, 400_000) + 0.6 * rng.standard_t(20, 400_000)
    single, both = 2 * stats.t.sf(3.0, reference.df), float((np.abs(drawn) > 3.0).mean())
    assert reference.p(3.0) == pytest.approx(single ** (1 / 6) * both ** (5 / 6), rel=0.03)
    assert single < reference.p(3.0) < both


def test_without_any_error_a_difference_is_certain() -> None:
    assert TwoSource(0.0, 0.0, 4, 9).p(0.1) == 0
    assert TwoSource(0.0, 0.0, 4, 9).p(0.0) == 1
    assert TwoSource(0.0, 0.0, 4, 9).quantile(0.05) == 0
