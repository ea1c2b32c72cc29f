"""What each record says about a class's score: jackknife pseudo-values.

Their mean is the score, and their spread within an outcome, summed by patient, is the variance that comes from which
patients are in the test fold. No samples are drawn, and averages over blocks and differences of arms carry over.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.stats.metrics import check_pair

METRICS = ("auroc", "auprc")


def pseudo_values(
    labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]
) -> dict[str, Float[np.ndarray, "class record"]]:
    """n times the class's score minus n - 1 times the score without the record, n counting the record's outcome.

    The test fold is stratified, so a record is left out within its outcome. For AUROC pseudo-values are DeLong's
    placement values: the share of negatives below a positive, and of positives above a negative. For AUPRC they are
    exact too; the derivative by the record's weight would be as cheap, but where a class has few positives precision is
    so curved that the derivative misses most of the variance. The only record of its outcome gets the score itself.

    Returns:
        By metric; NaN for a class without both outcomes.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.

    Source:
        DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44:837; Arvesen 1969, Ann. Math. Stat. 40:2076, for the
        jackknife of two samples.
    """
    labels, scores = check_pair(labels, scores)
    by = _sort(labels, scores)
    both = (by.n_positive > 0) & (by.n_negative > 0)
    placed = {}
    for metric, values in (("auroc", _auroc_values(by)), ("auprc", _auprc_values(by))):
        placed[metric] = np.empty_like(values)
        np.put_along_axis(placed[metric], by.order, np.where(both, values, np.nan), axis=1)
    return placed


@dataclass(frozen=True)
class _Sorting:
    """Records of each class from the highest score down; ``first`` and ``last`` bound the group of tied scores.

    Attributes:
        hits_before, hits_until: positives above the tied group, and up to its end; misses likewise for negatives.
    """

    order: Int[np.ndarray, "class record"]
    positive: Bool[np.ndarray, "class record"]
    first: Int[np.ndarray, "rows record"]
    last: Int[np.ndarray, "rows record"]
    hits_before: Int[np.ndarray, "class record"]
    hits_until: Int[np.ndarray, "class record"]
    misses_before: Int[np.ndarray, "class record"]
    misses_until: Int[np.ndarray, "class record"]
    n_positive: Int[np.ndarray, "class one"]
    n_negative: Int[np.ndarray, "class one"]


def _sort(labels: Bool[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]) -> _Sorting:
    falling = -np.ascontiguousarray(scores.T)
    order = np.argsort(falling, axis=1)
    falling = np.take_along_axis(falling, order, axis=1)
    positive = np.take_along_axis(np.ascontiguousarray(labels.T), order, axis=1)
    first, last = _tied_groups(falling, positive)
    hits = np.cumsum(positive, axis=1)
    hits_until, hits_before = _at(hits, last), _at(hits - positive, first)
    n_positive = positive.sum(axis=1, keepdims=True)
    return _Sorting(
        order=order,
        positive=positive,
        first=first,
        last=last,
        hits_before=hits_before,
        hits_until=hits_until,
        misses_before=first - hits_before,
        misses_until=last + 1 - hits_until,
        n_positive=n_positive,
        n_negative=positive.shape[1] - n_positive,
    )


def _tied_groups(
    falling: Float[np.ndarray, "class record"], positive: Bool[np.ndarray, "class record"]
) -> tuple[Int[np.ndarray, "class record"], Int[np.ndarray, "class record"]]:
    """First and last position of each record's group; one and the same row for all classes if no positive is tied."""
    position = np.arange(falling.shape[1])[None]
    changes = falling[:, 1:] != falling[:, :-1]
    if (changes | ~(positive[:, 1:] | positive[:, :-1])).all():
        return position, position  # ties among negatives alone change nothing
    edge = np.ones((len(falling), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), position, 0), axis=1)
    ends = np.where(np.hstack([changes, edge]), position, falling.shape[1])
    return first, np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def _at(values: Shaped[np.ndarray, "class record"], position: Int[np.ndarray, "rows record"]) -> np.ndarray:
    """Values at ``position`` of each class; themselves where no class has ties."""
    return values if len(position) < len(values) else np.take_along_axis(values, position, axis=1)


def _auroc_values(by: _Sorting) -> Float[np.ndarray, "class record"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        negatives_below = 1 - (by.misses_before + by.misses_until) / (2 * by.n_negative)
        positives_above = (by.hits_before + by.hits_until) / (2 * by.n_positive)
    return np.asarray(np.where(by.positive, negatives_below, positives_above))


def _auprc_values(by: _Sorting) -> Float[np.ndarray, "class record"]:
    counted = by.last + 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(by.positive, by.hits_until / counted, 0)
        without_hit = np.where(by.positive, np.nan_to_num((by.hits_until - 1) / (counted - 1)), 0)
        without_miss = np.where(by.positive, np.nan_to_num(by.hits_until / (counted - 1), posinf=1), 0)
        # Thresholds above the record keep their precision; those at or below it count one record less.
        total = precision.sum(axis=1, keepdims=True)
        above = _at(np.cumsum(precision, axis=1) - precision, by.first)
        remaining = above + _at(_sum_from(without_hit), by.first) - without_hit
        gained = _at(_sum_from(without_miss - precision), by.first)
        miss = (total - (by.n_negative - 1) * gained) / by.n_positive
    return np.asarray(np.where(by.positive, total - remaining, miss))


def _sum_from(values: Float[np.ndarray, "class record"]) -> Float[np.ndarray, "class record"]:
    return np.asarray(np.cumsum(values[:, ::-1], axis=1)[:, ::-1])
