"""The patients' variance of one class against DeLong's, as published libraries and the plain definition give it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.stats.effect import patient_parts
from ablate.stats.metrics import class_auroc
from ablate.stats.pseudo_value import pseudo_values


def delong_covariance(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Covariance of two AUROCs by comparing every positive with every negative (DeLong et al. 1988)."""
    positives, negatives = scores[labels], scores[~labels]
    wins = (positives[:, None] > negatives[None]) + 0.5 * (positives[:, None] == negatives[None])
    of_positives, of_negatives = wins.mean(axis=1), wins.mean(axis=0)
    return np.cov(of_positives.T) / len(positives) + np.cov(of_negatives.T) / len(negatives)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n_positive=st.integers(2, 40), decimals=st.sampled_from([0, 1, 9]))
def test_equal_to_the_definition(seed: int, n_positive: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(90) < n_positive
    scores = np.round(rng.normal(size=(90, 2)) + labels[:, None], decimals)
    covariance = delong_covariance(labels, scores)
    values = pseudo_values(np.stack([labels, labels], axis=1), scores)["auroc"]
    patients = rng.permutation(90)
    for combination in ([1, 0], [0, 1], [-1, 1]):
        parts = patient_parts(np.array([combination]) @ values, labels[:, None], patients)
        assert (parts**2).sum() == pytest.approx(combination @ covariance @ combination, abs=1e-10)


def test_equal_to_mlstatkit() -> None:
    """MLstatkit 0.1.91, Delong_test(labels, first, second): AUCs and info["var_diff"]."""
    record = np.arange(60)
    labels = record % 3 == 0
    first = np.round(np.sin(record * 1.7) + 0.8 * labels, 1)
    second = np.round(np.cos(record * 2.3) + 0.5 * labels, 1)
    both, scores = np.stack([labels, labels], axis=1), np.stack([first, second], axis=1)
    np.testing.assert_allclose(class_auroc(both, scores), [0.745625, 0.675], atol=1e-12)
    values = pseudo_values(both, scores)["auroc"]
    parts = patient_parts(values[1:] - values[:1], labels[:, None], record)
    assert (parts**2).sum() == pytest.approx(0.010398120150134953, abs=1e-10)
