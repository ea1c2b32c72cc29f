import numpy as np
import pytest

from ablate.stats.metrics import METRICS, class_auprc, class_auroc
from ablate.stats.pseudo_value import pseudo_values

SCORE = {"auroc": class_auroc, "auprc": class_auprc}


@pytest.mark.parametrize("decimals", [0, 1, 9])
@pytest.mark.parametrize("metric", METRICS)
def test_equal_to_scoring_again_without_each_record(metric: str, decimals: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        labels = rng.random((30, 4)) < [0.1, 0.5, 0.9, 0.3]
        labels[:3], labels[3:6] = True, False
        scores = np.round(rng.normal(size=labels.shape) + labels, decimals)
        found, full = pseudo_values(labels, scores)[metric], SCORE[metric](labels, scores)
        for record in range(len(labels)):
            without = SCORE[metric](np.delete(labels, record, axis=0), np.delete(scores, record, axis=0))
            n_outcome = (labels == labels[record]).sum(axis=0)
            np.testing.assert_allclose(found[:, record], n_outcome * full - (n_outcome - 1) * without, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_only_record_of_an_outcome_gets_the_score(metric: str) -> None:
    labels = np.array([[True], [False], [False], [False]])
    scores = np.array([[0.5], [0.9], [0.1], [0.2]])
    assert pseudo_values(labels, scores)[metric][0, 0] == pytest.approx(SCORE[metric](labels, scores)[0])
    assert pseudo_values(~labels, -scores)[metric][0, 0] == pytest.approx(SCORE[metric](~labels, -scores)[0])


def test_a_class_without_both_outcomes_is_nan() -> None:
    labels = np.array([[True, False], [False, False], [True, False]])
    found = pseudo_values(labels, np.random.default_rng(0).random(labels.shape))
    for metric in METRICS:
        assert np.isfinite(found[metric][0]).all()
        assert np.isnan(found[metric][1]).all()


def test_the_mean_over_an_outcome_is_the_auroc() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random((200, 3)) < 0.3
    scores = rng.normal(size=labels.shape) + labels
    found, area = pseudo_values(labels, scores)["auroc"], class_auroc(labels, scores)
    for k in range(3):
        assert found[k, labels[:, k]].mean() == pytest.approx(area[k])
        assert found[k, ~labels[:, k]].mean() == pytest.approx(area[k])
