import numpy as np
import pytest

from ablate.errors import DataError
from ablate.stats import metrics

LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
SCORES = np.array([[0.9, 0.2, 0.1], [0.9, 0.8, 0.3], [0.5, 0.4, 0.2], [0.1, 0.4, 0.9]])


def test_known_values_with_ties() -> None:
    # class 0: pairs (.9 = .9, .9 > .1, .5 < .9, .5 > .1) = 2.5 of 4; class 1: (.8 > both, .4 > .2, .4 = .4) = 3.5 of 4
    np.testing.assert_allclose(metrics.class_auroc(LABELS, SCORES)[:2], [2.5 / 4, 3.5 / 4])
    # class 0: at .9 precision 1/2, at .5 precision 2/3; class 1: at .8 precision 1, at .4 precision 2/3
    np.testing.assert_allclose(metrics.class_auprc(LABELS, SCORES)[:2], [(1 / 2 + 2 / 3) / 2, (1 + 2 / 3) / 2])


def test_a_class_without_both_outcomes_is_nan_and_so_is_the_mean_over_it() -> None:
    assert np.isnan(metrics.class_auroc(LABELS, SCORES)[2])
    assert np.isnan(metrics.class_auprc(1 - LABELS, SCORES)[2])
    assert np.isnan(metrics.macro_auroc(LABELS, SCORES))
    assert np.isnan(metrics.macro_auprc(LABELS, SCORES))
    assert metrics.missing_outcomes(LABELS) == {2: "no positive among 4 records"}
    assert metrics.missing_outcomes(1 - LABELS) == {2: "no negative among 4 records"}


def test_the_fixed_set_of_classes_decides_the_mean() -> None:
    counted = metrics.both_outcomes(LABELS)
    assert counted.tolist() == [True, True, False]
    assert metrics.missing_outcomes(LABELS, classes=counted) == {}
    assert metrics.macro_auroc(LABELS, SCORES, classes=counted) == pytest.approx(3 / 4)


def test_arguments_are_left_as_they_were() -> None:
    labels, scores = LABELS.copy(), SCORES.copy()
    metrics.macro_auprc(labels, scores)
    assert np.array_equal(labels, LABELS)
    assert np.array_equal(scores, SCORES)


@pytest.mark.parametrize(
    ("labels", "scores", "says"),
    [
        (LABELS, SCORES[:, :2], "expected one shape"),
        (LABELS[:, 0], SCORES[:, 0], "expected one shape"),
        (LABELS * 2, SCORES, "expected booleans or 0 and 1"),
        (LABELS, np.where(SCORES == 0.8, np.nan, SCORES), "1 of 12 are not finite"),
    ],
)
def test_bad_input_is_said(labels: np.ndarray, scores: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        metrics.macro_auroc(labels, scores)


def test_an_empty_set_of_classes_is_an_error() -> None:
    with pytest.raises(DataError, match="set is empty"):
        metrics.macro_auroc(LABELS, SCORES, classes=np.zeros(3, dtype=bool))
    with pytest.raises(DataError, match="set is empty"):
        metrics.macro_auprc(LABELS[:, :0], SCORES[:, :0])
