import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ablate.errors import DataError
from ablate.stats.metrics import class_auprc, class_auroc
from ablate.stats.weighted_score import rank


def ranked_case(seed: int, *, decimals: int, n_records: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random((n_records, 4)) < [0.03, 0.2, 0.5, 0.97]
    labels[0], labels[1] = True, False
    return labels, np.round(rng.normal(size=labels.shape) + labels, decimals)


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_weighted_scores_equal_scikit_learn(decimals: int) -> None:
    for seed in range(3):
        labels, scores = ranked_case(seed, decimals=decimals)
        weights = np.random.default_rng(seed + 99).exponential(size=(17, len(labels)))
        found = rank(labels, scores).by_class(weights)
        for draw, weight in ((0, weights[0]), (16, weights[16])):
            for k in range(labels.shape[1]):
                pair = labels[:, k], scores[:, k]
                assert found["auroc"][draw, k] == pytest.approx(roc_auc_score(*pair, sample_weight=weight), abs=1e-11)
                expected = average_precision_score(*pair, sample_weight=weight)
                assert found["auprc"][draw, k] == pytest.approx(expected, abs=1e-11)


def test_equal_weights_give_the_plain_metrics() -> None:
    labels, scores = ranked_case(3, decimals=1)
    found = rank(labels, scores).by_class(np.full((1, len(labels)), 2.5))
    np.testing.assert_allclose(found["auroc"][0], class_auroc(labels, scores), atol=1e-13)
    np.testing.assert_allclose(found["auprc"][0], class_auprc(labels, scores), atol=1e-13)


def test_bad_weights_and_classes_are_said() -> None:
    labels, scores = ranked_case(0, decimals=2)
    with pytest.raises(DataError, match="for 60 records"):
        rank(labels, scores).macro(np.ones((2, 59)))
    with pytest.raises(DataError, match="non-negative"):
        rank(labels, scores).macro(-np.ones((2, 60)))
    with pytest.raises(DataError, match="positive and negative"):
        rank(np.zeros_like(labels), scores)
