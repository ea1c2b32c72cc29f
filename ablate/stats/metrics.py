"""Scores of multi-label predictions: macro AUROC and macro AUPRC, exact with ties, all classes at once.

A class that lacks positives or negatives among the evaluated records has no score. It is NaN, here and in the macro
mean: the set of classes that counts is fixed beforehand and given as ``classes``, it never shrinks by itself.
"""

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ablate.errors import DataError
from ablate.stats.score_order import Order, order

METRICS = ("auroc", "auprc")


def macro_auroc(
    labels: Shaped[np.ndarray, "record class"],
    scores: Float[np.ndarray, "record class"],
    *,
    classes: Bool[np.ndarray, "class"] | None = None,
) -> float:
    """Mean over classes of the area under the ROC curve.

    Args:
        labels: true outcomes, boolean or 0 and 1.
        scores: larger means more likely; any monotone scale.
        classes: the fixed set of classes that counts; all of them when None.

    Returns:
        The mean, NaN when a class of the set lacks both outcomes (``missing_outcomes`` says which and why).

    Raises:
        DataError: shapes differ, labels are not 0 or 1, scores are not finite, or the set of classes is empty.

    Source:
        scikit-learn's ``roc_auc_score`` for each class, equal to rounding.
    """
    return _macro(class_auroc(labels, scores), classes)


def macro_auprc(
    labels: Shaped[np.ndarray, "record class"],
    scores: Float[np.ndarray, "record class"],
    *,
    classes: Bool[np.ndarray, "class"] | None = None,
) -> float:
    """Mean over classes of average precision, the step-wise area under the precision-recall curve.

    Arguments, NaN and errors as ``macro_auroc``.

    Source:
        scikit-learn's ``average_precision_score`` for each class, equal to rounding.
    """
    return _macro(class_auprc(labels, scores), classes)


def class_auroc(
    labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]
) -> Float[np.ndarray, "class"]:
    """Area under the ROC curve of each class; NaN for a class without both outcomes.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.
    """
    return auroc_of(order(labels, scores))


def class_auprc(
    labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]
) -> Float[np.ndarray, "class"]:
    """Average precision of each class; NaN for a class without both outcomes.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.
    """
    return auprc_of(order(labels, scores))


def auroc_of(by: Order) -> Float[np.ndarray, "class"]:
    """``class_auroc`` of sorted predictions."""
    # A tied negative counts one half: the mean of the negatives before the tie and those up to its end.
    lost = np.bincount(by.row, by.misses_before + by.misses_until, minlength=len(by.n_positive)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(by.scored, 1.0 - lost / (by.n_positive * by.n_negative), np.nan)


def auprc_of(by: Order) -> Float[np.ndarray, "class"]:
    """``class_auprc`` of sorted predictions."""
    total = np.bincount(by.row, by.hits_until / (by.group_end + 1), minlength=len(by.n_positive))
    with np.errstate(invalid="ignore"):
        return np.where(by.scored, total / by.n_positive, np.nan)


def both_outcomes(labels: Shaped[np.ndarray, "record class"]) -> Bool[np.ndarray, "class"]:
    """Which classes have a positive and a negative record, and so a score."""
    n_positive = np.count_nonzero(labels, axis=0)
    return np.asarray((n_positive > 0) & (n_positive < len(labels)))


def missing_outcomes(
    labels: Shaped[np.ndarray, "record class"], *, classes: Bool[np.ndarray, "class"] | None = None
) -> dict[int, str]:
    """Why classes of the set have no score, by position: ``{3: "no positive among 2198 records"}``."""
    n_records = labels.shape[0]
    counted = np.ones(labels.shape[1], dtype=bool) if classes is None else classes
    positives = np.count_nonzero(labels, axis=0)
    return {
        int(index): f"no {'negative' if positives[index] else 'positive'} among {n_records} records"
        for index in np.flatnonzero(counted & ~both_outcomes(labels))
    }


def _macro(by_class: Float[np.ndarray, "class"], classes: Bool[np.ndarray, "class"] | None) -> float:
    counted = by_class if classes is None else by_class[np.asarray(classes, dtype=bool)]
    if counted.size == 0:
        raise DataError("classes: the set is empty; expected at least one class to average over")
    return float(counted.mean())
