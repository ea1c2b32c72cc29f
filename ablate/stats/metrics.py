"""Scores of multi-label predictions: macro AUROC and macro AUPRC, exact with ties, all classes at once.

A class that lacks positives or negatives among the evaluated records has no score. It is NaN, here and in the macro
mean: the set of classes that counts is fixed beforehand and given as ``classes``, it never shrinks by itself.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.errors import DataError


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
    at = _positives(labels, scores)
    n_negative = at.n_records - at.n_positive
    negatives_before = at.group_start - at.positives_before_group
    negatives_until = at.group_end + 1 - at.positives_until_group
    # A tied negative counts one half: the mean of the negatives before the tie and those up to its end.
    lost = np.bincount(at.row, negatives_before + negatives_until, minlength=n_negative.size) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nan_without_both(1.0 - lost / (at.n_positive * n_negative), at.n_positive, n_negative)


def class_auprc(
    labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]
) -> Float[np.ndarray, "class"]:
    """Average precision of each class; NaN for a class without both outcomes.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.
    """
    at = _positives(labels, scores)
    precision = at.positives_until_group / (at.group_end + 1)
    total = np.bincount(at.row, precision, minlength=at.n_positive.size)
    with np.errstate(invalid="ignore"):
        return _nan_without_both(total / at.n_positive, at.n_positive, at.n_records - at.n_positive)


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


def check_pair(
    labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]
) -> tuple[Bool[np.ndarray, "record class"], Float[np.ndarray, "record class"]]:
    """Labels as booleans and scores, fit to be ranked.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise DataError(f"labels {labels.shape} and scores {scores.shape}: expected one shape (record, class)")
    if labels.dtype != bool and not np.isin(labels, (0, 1)).all():
        raise DataError("labels: expected booleans or 0 and 1")
    if not np.isfinite(scores).all():
        raise DataError(f"scores: {np.count_nonzero(~np.isfinite(scores))} of {scores.size} are not finite")
    return labels.astype(bool), scores


@dataclass(frozen=True)
class _Positives:
    """The positive records of all classes, row by row from the highest score down, each with its group of tied scores.

    Attributes:
        row: class of each positive.
        group_start, group_end: first and last position of the tied group among all records of the class, from 0.
        positives_before_group, positives_until_group: positives ranked above the group, and up to its end.
        n_positive: by class.
    """

    row: Int[np.ndarray, "positive"]
    group_start: Int[np.ndarray, "positive"]
    group_end: Int[np.ndarray, "positive"]
    positives_before_group: Int[np.ndarray, "positive"]
    positives_until_group: Int[np.ndarray, "positive"]
    n_positive: Int[np.ndarray, "class"]
    n_records: int


def _positives(labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]) -> _Positives:
    labels, scores = check_pair(labels, scores)
    n_records, n_classes = labels.shape
    falling = -np.ascontiguousarray(scores.T)
    order = np.argsort(falling, axis=1)
    falling = np.take_along_axis(falling, order, axis=1)
    ends_group = np.ones((n_classes, n_records), dtype=bool)
    np.not_equal(falling[:, 1:], falling[:, :-1], out=ends_group[:, :-1])
    ends = np.flatnonzero(ends_group)
    found = np.flatnonzero(np.take_along_axis(np.ascontiguousarray(labels.T), order, axis=1))
    group = np.searchsorted(ends, found)
    end, start = ends[group], np.where(group > 0, ends[group - 1] + 1, 0)
    row = found // max(n_records, 1)
    n_positive = np.bincount(row, minlength=n_classes)
    first_of_row = (np.cumsum(n_positive) - n_positive)[row]
    return _Positives(
        row=row,
        group_start=start - row * n_records,
        group_end=end - row * n_records,
        positives_before_group=np.searchsorted(found, start) - first_of_row,
        positives_until_group=np.searchsorted(found, end, side="right") - first_of_row,
        n_positive=n_positive,
        n_records=n_records,
    )


def _nan_without_both(
    value: Float[np.ndarray, "class"], n_positive: Int[np.ndarray, "class"], n_negative: Int[np.ndarray, "class"]
) -> Float[np.ndarray, "class"]:
    return np.where((n_positive > 0) & (n_negative > 0), value, np.nan)


def _macro(by_class: Float[np.ndarray, "class"], classes: Bool[np.ndarray, "class"] | None) -> float:
    counted = by_class if classes is None else by_class[np.asarray(classes, dtype=bool)]
    if counted.size == 0:
        raise DataError("classes: the set is empty; expected at least one class to average over")
    return float(counted.mean())
