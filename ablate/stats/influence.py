"""How much each record moves a class's score: what the score loses or gains when the record is left out.

Sums over the records of a patient give the variance that comes from which patients are in the test fold, without
drawing any samples. The test fold is stratified, so a record is left out within its outcome.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.stats.metrics import check_pair

METRICS = ("auroc", "auprc")


def influence(
    labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]
) -> dict[str, Float[np.ndarray, "class record"]]:
    """Influence of each record on each class's AUROC and AUPRC, scaled so that squares sum to the score's variance.

    The exact jackknife within each outcome. For AUROC it equals DeLong's placement values, and the sum of squares
    DeLong's variance. For AUPRC the derivative by the record's weight would be as cheap, but with few positives
    precision is so curved that the derivative misses most of the variance.

    Returns:
        By metric. 0 for the only record of an outcome, which cannot be left out, and for a class without both outcomes.

    Raises:
        DataError: shapes differ, labels are not 0 or 1, or scores are not finite.

    Source:
        DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44:837; for patients with several records Obuchowski 1997,
        Biometrics 53:567; Arvesen 1969, Ann. Math. Stat. 40:2076, for the jackknife of two samples.
    """
    labels, scores = check_pair(labels, scores)
    sorting = _sort(labels, scores)
    by_metric = {"auroc": _auroc_changes(sorting), "auprc": _auprc_changes(sorting)}
    placed = {}
    for metric, changes in by_metric.items():
        placed[metric] = np.empty_like(changes)
        np.put_along_axis(placed[metric], sorting.order, _scaled(changes, sorting), axis=1)
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


def _auroc_changes(by: _Sorting) -> Float[np.ndarray, "class record"]:
    """What leaving the record out takes from the class's AUROC, up to a constant within the outcome."""
    with np.errstate(invalid="ignore", divide="ignore"):
        above_negatives = -(by.misses_before + by.misses_until) / (2 * by.n_negative * (by.n_positive - 1))
        below_positives = (by.hits_before + by.hits_until) / (2 * by.n_positive * (by.n_negative - 1))
    return np.asarray(np.where(by.positive, above_negatives, below_positives))


def _auprc_changes(by: _Sorting) -> Float[np.ndarray, "class record"]:
    """What leaving the record out takes from the class's AUPRC, up to a constant within the outcome."""
    counted = by.last + 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(by.positive, by.hits_until / counted, 0)
        without_hit = np.where(by.positive, np.nan_to_num((by.hits_until - 1) / (counted - 1)), 0)
        without_miss = np.where(by.positive, by.hits_until / (counted - 1), 0)
        # Thresholds above the record keep their precision; those at or below it count one record less.
        above = np.cumsum(precision, axis=1) - precision
        kept = _at(above, by.first) + _at(_sum_from(without_hit), by.first)
        hit = (without_hit - kept) / (by.n_positive - 1)
        gained = np.nan_to_num(without_miss - precision, posinf=0)
        miss = -_at(_sum_from(gained), by.first) / by.n_positive
    return np.asarray(np.where(by.positive, hit, miss))


def _scaled(changes: Float[np.ndarray, "class record"], by: _Sorting) -> Float[np.ndarray, "class record"]:
    """Centred within the outcome and scaled to the jackknife's variance, (n - 1) / n times the sum of squares."""
    total = np.zeros_like(changes)
    for chosen, number in ((by.positive, by.n_positive), (~by.positive, by.n_negative)):
        values = np.where(chosen & (number > 1), changes, 0)
        centre = values.sum(axis=1, keepdims=True) / np.maximum(number, 1)
        total += np.where(chosen, (values - centre) * np.sqrt((number - 1) / np.maximum(number, 1)), 0)
    return np.asarray(np.where((by.n_positive > 0) & (by.n_negative > 0), total, 0))


def _sum_from(values: Float[np.ndarray, "class record"]) -> Float[np.ndarray, "class record"]:
    return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
