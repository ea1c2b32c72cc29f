"""The threshold of each class, beside trying every one there is."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ablate.stats.threshold import best_thresholds


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_has_a_larger_f1(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random((60, 3)) < (0.1, 0.3, 0.8)
    probabilities = np.round(random.random((60, 3)) * 0.7 + labels * 0.3, 1 if seed % 2 else 6).astype(np.float32)
    for column, threshold in enumerate(best_thresholds(labels, probabilities)):
        true, given = labels[:, column], probabilities[:, column]
        assert threshold is not None
        best = max(f1_score(true, given >= one) for one in given)
        assert f1_score(true, given >= threshold) == pytest.approx(best, abs=1e-12)
        assert np.abs(given - threshold).min() > 1e-8  # last bits move no record across it


def test_of_equals_the_highest_is_taken_and_it_lies_between_two_probabilities() -> None:
    labels = np.array([[True], [False], [True], [False]])
    given = np.array([[0.8], [0.6], [0.4], [0.2]])
    # one positive: 2 / (1 + 2); two: 2 / (2 + 2); three: 4 / (3 + 2)
    assert best_thresholds(labels, given) == [pytest.approx(0.3)]
    assert best_thresholds(labels[:2], given[:2]) == [pytest.approx(0.7)]
    assert best_thresholds(np.array([[False], [True]]), np.array([[0.5], [0.5]])) == [pytest.approx(0.25)]


def test_a_class_that_lacks_an_outcome_has_none() -> None:
    labels = np.array([[True, False, True], [True, False, False]])
    chosen = best_thresholds(labels, np.full((2, 3), 0.5))
    assert chosen[:2] == [None, None]
    assert chosen[2] is not None
