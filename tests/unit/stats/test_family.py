import numpy as np
import pytest
from scipy import stats

from ablate.stats.family import Family, joint
from ablate.stats.two_source import TwoSource

KNOWN = TwoSource(1.0, 0.0, 1e9, 1e9)  # a normal error


def correlated(correlation: float, size: int = 3, *, reference: TwoSource = KNOWN) -> Family:
    seeds = np.full((size, size), correlation) + (1 - correlation) * np.eye(size)
    return joint([reference] * size, seeds, np.zeros((size, size)))


def test_independent_contrasts_are_corrected_as_sidak() -> None:
    family = correlated(0.0)
    assert family.adjusted(0.02) == pytest.approx(1 - 0.98**3, abs=0.002)
    assert family.single(0.05) == pytest.approx(1 - 0.95 ** (1 / 3), abs=0.001)


def test_many_to_one_is_dunnetts() -> None:
    """Critical value of three comparisons with one control, correlation .5, normal, two-sided .05: 2.349."""
    assert stats.norm.isf(correlated(0.5).single(0.05) / 2) == pytest.approx(2.349, abs=0.01)


def test_with_few_degrees_of_freedom_it_lies_between_dunnetts_t_and_bonferronis() -> None:
    """Dunnett's table, which pools the variances: three treatments and a control, 10 degrees of freedom, two-sided .05:
    2.76. Each contrast has a variance of its own here, which leaves p-values less alike."""
    family = correlated(0.5, reference=TwoSource(1.0, 0.0, 10, 1e9))
    assert 2.76 < stats.t.isf(family.single(0.05) / 2, 10) < stats.t.isf(0.05 / 6, 10)


def test_equal_contrasts_are_one() -> None:
    assert correlated(1.0).adjusted(0.03) == pytest.approx(0.03, abs=0.002)


def test_a_contrast_without_an_answer_keeps_its_place() -> None:
    alone = joint([KNOWN, None, None], np.diag([1.0, 0.0, 0.0]), np.zeros((3, 3)))
    assert alone.adjusted(0.02) == pytest.approx(1 - 0.98**3, abs=0.002)


def test_p_values_are_uniform_by_chance_also_where_numbers_of_blocks_differ() -> None:
    """Twenty blocks beside five: what both share is known from five blocks only."""
    many, few = TwoSource(0.5, 0.25, 19, 40), TwoSource(1.0, 0.5, 4, 40)
    family = joint([many, few], np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[0.25, 0.1], [0.1, 0.25]]))
    for place in range(2):
        assert np.mean(family.chance[:, place] <= 0.05) == pytest.approx(0.05, abs=0.01)
    assert 0.015 < family.adjusted(0.01) < 0.0199  # between equal and independent contrasts


def test_adjusted_and_single_are_inverse() -> None:
    family = correlated(0.7, 5)
    for level in (1e-5, 0.003, 0.05, 0.19):
        assert family.adjusted(family.single(level)) == pytest.approx(level, rel=0.02)


def test_a_closed_contrast_leaves_less_to_err() -> None:
    family = correlated(0.5)
    kept = [family.kept(0.05, np.arange(3) < n_open) for n_open in range(4)]
    assert kept[0] == 0
    assert kept == sorted(kept)
    assert kept[1] == pytest.approx(family.single(0.05))
    assert kept[3] == pytest.approx(0.05)


def test_the_same_family_twice_is_the_same_to_the_bit() -> None:
    assert np.array_equal(correlated(0.3).chance, correlated(0.3).chance)
