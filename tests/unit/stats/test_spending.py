import numpy as np
import pytest
from scipy import stats

from ablate.stats.spending import boundaries, information_fractions, nominal_level, sequential_p


def test_boundaries_are_those_that_are_published() -> None:
    """Four equal looks at two-sided .05, spent like O'Brien and Fleming: 4.333, 2.963, 2.359, 2.014 (R's gsDesign)."""
    found = boundaries(np.array([0.05]), [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(found[0], [4.333, 2.963, 2.359, 2.014], atol=0.001)


def test_all_looks_together_keep_the_level() -> None:
    rng = np.random.default_rng(0)
    fractions = np.array([0.6, 0.8, 0.9, 1.0])
    steps = np.sqrt(np.diff(fractions, prepend=0))
    scores = np.cumsum(rng.normal(size=(40_000, 4)) * steps, axis=1) / np.sqrt(fractions)
    crossed = (np.abs(scores) > boundaries(np.array([0.05]), fractions)).any(axis=1)
    assert crossed.mean() == pytest.approx(0.05, abs=0.004)


def test_a_single_whole_look_is_the_test_itself() -> None:
    assert nominal_level(0.03, [1.0]) == 0.03
    assert sequential_p([0.03], [1.0]) == (0.03,)


def test_a_sequential_p_value_is_the_level_that_just_rejects() -> None:
    fractions = [0.25, 0.5, 0.75, 1.0]
    at_last = float(2 * stats.norm.sf(2.01409))
    assert sequential_p([1.0, 1.0, 1.0, at_last], fractions)[-1] == pytest.approx(0.05, rel=0.01)
    assert nominal_level(0.05, fractions) == pytest.approx(at_last, rel=0.01)


def test_what_was_found_at_a_look_stays_found() -> None:
    first, second = sequential_p([1e-6, 0.9], [0.25, 0.5])
    assert second == first < 0.05


def test_a_look_costs_something() -> None:
    assert sequential_p([0.5, 0.04], [0.5, 1.0])[-1] > 0.04


def test_patients_alone_give_all_information_at_once() -> None:
    """Blocks average the seeds' noise only; what the patients have in common stays."""
    by_blocks = information_fractions([5, 10, 20], var_seeds=1.0, var_patients=0.0, most=20)
    np.testing.assert_allclose(by_blocks, [0.25, 0.5, 1.0])
    np.testing.assert_allclose(information_fractions([5, 20], var_seeds=0.0, var_patients=1.0, most=20), [1, 1])
    mixed = information_fractions([5], var_seeds=5.0, var_patients=1.0, most=20)
    np.testing.assert_allclose(mixed, [(1 + 5 / 20) / (1 + 5 / 5)], atol=0.005)
