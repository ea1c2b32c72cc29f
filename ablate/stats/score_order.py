"""Records of every class from the highest score down: what all rank metrics are made of."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.errors import DataError


@dataclass(frozen=True)
class Order:
    """The sorted records of all classes, and the positives among them with their groups of ties.

    Attributes:
        record: rows of the predictions, a line for each class.
        place: of each positive in ``record``, line after line; ``row`` is its class.
        group_start, group_end: first and last position, from 0, of the class's scores tied with the positive.
        hits_before, hits_until: positives of the class ranked above the tied group, and up to its end.
        n_positive: by class.
    """

    record: Int[np.ndarray, "class record"]
    place: Int[np.ndarray, "positive"]
    row: Int[np.ndarray, "positive"]
    group_start: Int[np.ndarray, "positive"]
    group_end: Int[np.ndarray, "positive"]
    hits_before: Int[np.ndarray, "positive"]
    hits_until: Int[np.ndarray, "positive"]
    n_positive: Int[np.ndarray, "class"]
    n_records: int

    @property
    def n_negative(self) -> Int[np.ndarray, "class"]:
        """By class."""
        return np.asarray(self.n_records - self.n_positive)

    @property
    def scored(self) -> Bool[np.ndarray, "class"]:
        """Classes with both outcomes."""
        return np.asarray((self.n_positive > 0) & (self.n_negative > 0))

    @property
    def misses_before(self) -> Int[np.ndarray, "positive"]:
        """Negatives of the class ranked above the tied group."""
        return np.asarray(self.group_start - self.hits_before)

    @property
    def misses_until(self) -> Int[np.ndarray, "positive"]:
        """Negatives of the class ranked above the end of the tied group."""
        return np.asarray(self.group_end + 1 - self.hits_until)


def order(labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]) -> Order:
    """Sort the records of each class.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.
    """
    labels, scores = check_pair(labels, scores)
    n_records, n_classes = labels.shape
    falling = -np.ascontiguousarray(scores.T)
    record = np.argsort(falling, axis=1)
    place = np.flatnonzero(np.take_along_axis(np.ascontiguousarray(labels.T), record, axis=1))
    row = place // max(n_records, 1)
    n_positive = np.bincount(row, minlength=n_classes)
    start, end = _tied(np.take_along_axis(falling, record, axis=1), place)
    first_of_row = (np.cumsum(n_positive) - n_positive)[row]
    return Order(
        record=record,
        place=place,
        row=row,
        group_start=start - row * n_records,
        group_end=end - row * n_records,
        hits_before=np.searchsorted(place, start) - first_of_row,
        hits_until=np.searchsorted(place, end, side="right") - first_of_row,
        n_positive=n_positive,
        n_records=n_records,
    )


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


def _tied(
    falling: Float[np.ndarray, "class record"], place: Int[np.ndarray, "positive"]
) -> tuple[Int[np.ndarray, "positive"], Int[np.ndarray, "positive"]]:
    """First and last place of the scores tied with each positive."""
    ends_group = np.ones(falling.shape, dtype=bool)
    np.not_equal(falling[:, 1:], falling[:, :-1], out=ends_group[:, :-1])
    ends = np.flatnonzero(ends_group)
    group = np.searchsorted(ends, place)
    return np.where(group > 0, ends[group - 1] + 1, 0), ends[group]
