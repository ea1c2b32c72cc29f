"""Thresholds: from which probability on a record counts as positive."""

import numpy as np
from jaxtyping import Bool, Float

from ablate.stats.metrics import both_outcomes


def best_thresholds(
    labels: Bool[np.ndarray, "record class"], probabilities: Float[np.ndarray, "record class"]
) -> list[float | None]:
    """For each class the threshold with the largest F1, None for a class that has not both outcomes.

    It lies half-way between the last probability that counts as positive and the next one, so that last bits do not
    move a record across it; of equally good thresholds it is the highest.
    """
    scored = both_outcomes(labels)
    return [
        _best(labels[:, column], probabilities[:, column]) if is_scored else None
        for column, is_scored in enumerate(scored)
    ]


def _best(labels: Bool[np.ndarray, "record"], probabilities: Float[np.ndarray, "record"]) -> float:
    order = np.argsort(-probabilities, kind="stable")
    falling, n_true = probabilities[order].astype(np.float64), np.cumsum(labels[order])
    f1 = 2 * n_true / (np.arange(1, len(falling) + 1) + n_true[-1])
    is_last_of_equals = np.append(falling[1:] < falling[:-1], True)
    at = int(np.argmax(np.where(is_last_of_equals, f1, -1.0)))
    following = falling[at + 1] if at + 1 < len(falling) else 0.0
    return float((falling[at] + following) / 2)
