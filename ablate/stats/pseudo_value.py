"""What each record says about a class's score: jackknife pseudo-values.

Their mean is the score, and their spread within an outcome, summed by patient, is the variance that comes from which
patients are in the test fold. No samples are drawn, and averages over blocks and differences of arms carry over.
"""

import numpy as np
from jaxtyping import Float, Int, Shaped

from ablate.stats.metrics import auprc_of
from ablate.stats.score_order import Order, order


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
    return pseudo_values_of(order(labels, scores))


def pseudo_values_of(by: Order) -> dict[str, Float[np.ndarray, "class record"]]:
    """``pseudo_values`` of sorted predictions."""
    return {"auroc": _auroc_values(by), "auprc": _auprc_values(by)}


def _auroc_values(by: Order) -> Float[np.ndarray, "class record"]:
    """Of a positive: the share of negatives below it; of a negative: the share of positives above it."""
    n_negative, n_positive = np.maximum(by.n_negative, 1), np.maximum(by.n_positive, 1)
    positives = 1 - (by.misses_before + by.misses_until) / (2 * n_negative[by.row])
    negatives = np.concatenate([np.arange(number + 1) / max(number, 1) for number in by.n_positive])
    return _placed(by, positives, negatives, tied=(by.hits_before + by.hits_until) / (2 * n_positive[by.row]))


def _auprc_values(by: Order) -> Float[np.ndarray, "class record"]:
    """What leaving out takes from the summed precision: thresholds at or below the record count one record less."""
    counted = by.group_end + 1
    precision = by.hits_until / counted
    without_hit = (by.hits_until - 1) / np.maximum(counted - 1, 1)
    without_miss = np.where(by.misses_until > 0, by.hits_until / np.maximum(counted - 1, 1), precision)
    group = _entry(by, by.hits_before)
    positives = (_sums_from(by, precision) - _sums_from(by, without_hit))[group] + without_hit
    n_entries = by.n_positive + 1
    total = np.repeat(by.n_positive * np.nan_to_num(auprc_of(by)), n_entries)
    gained = np.repeat(by.n_negative - 1, n_entries) * _sums_from(by, without_miss - precision)
    negatives = (total - gained) / np.repeat(np.maximum(by.n_positive, 1), n_entries)
    return _placed(by, positives, negatives, tied=negatives[group])


def _entry(by: Order, hits: Int[np.ndarray, "positive"]) -> Int[np.ndarray, "positive"]:
    """Where the tables of all classes, end to end, hold ``hits``: a class has an entry for 0 hits up to all its own."""
    n_entries = by.n_positive + 1
    return np.asarray((np.cumsum(n_entries) - n_entries)[by.row] + hits)


def _sums_from(by: Order, values: Float[np.ndarray, "positive"]) -> Float[np.ndarray, "entry"]:
    """At entry h: the sum of the values of the class's positives from number h on, counting from 0."""
    padded = np.zeros(len(values) + len(by.n_positive))
    padded[np.arange(len(values)) + by.row] = values
    sums = np.cumsum(padded[::-1])[::-1]
    n_entries = by.n_positive + 1
    return np.asarray(sums - np.repeat(sums[np.cumsum(n_entries) - 1], n_entries))


def _placed(
    by: Order,
    positives: Float[np.ndarray, "positive"],
    negatives: Float[np.ndarray, "entry"],
    *,
    tied: Float[np.ndarray, "positive"],
) -> Float[np.ndarray, "class record"]:
    """Values in the records' own order.

    Args:
        negatives: for a negative below so many positives, as a table.
        tied: for the negatives tied with a positive.
    """
    n_classes, n_records = by.record.shape
    starts = np.zeros(len(negatives), dtype=np.intp)
    starts[np.cumsum(by.n_positive + 1) - by.n_positive - 1] = np.arange(n_classes) * n_records
    starts[np.arange(len(by.place)) + by.row + 1] = by.place + 1
    sorted_values = np.repeat(negatives, np.diff(starts, append=n_classes * n_records))
    length = np.where(by.group_end > by.group_start, by.group_end - by.group_start + 1, 0)
    first = np.repeat(by.row * n_records + by.group_start - (np.cumsum(length) - length), length)
    sorted_values[first + np.arange(len(first))] = np.repeat(tied, length)
    sorted_values[by.place] = positives
    values = np.empty((n_classes, n_records))
    np.put_along_axis(values, by.record, sorted_values.reshape(n_classes, n_records), axis=1)
    values[~by.scored] = np.nan
    return values
