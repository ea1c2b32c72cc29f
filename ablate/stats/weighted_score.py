"""One set of predictions, sorted once, so that thousands of weighted scores cost little more than a matrix product."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import sparse

from ablate.errors import DataError
from ablate.stats.metrics import METRICS, both_outcomes
from ablate.stats.score_order import check_pair

_DRAWS = 16  # at once: what is held for 71 classes then stays in the processor's cache


@dataclass(frozen=True)
class Ranking:
    """Which records lie between the positives of each class.

    A *step* is a distinct score that at least one positive of the class has, from the highest down. Records below the
    last step of a class never matter, and rare classes have few steps: this is what makes weighted scores cheap.

    Attributes:
        passed: 1 where a negative of the step's class lies between the step before and the step, ties included.
        tied: 1 where a negative has exactly the step's score.
        hit: 1 where a positive has the step's score.
        of_class: a row for each class, 1 at its steps, which follow each other.
    """

    passed: sparse.csr_array
    tied: sparse.csr_array
    hit: sparse.csr_array
    of_class: sparse.csr_array

    @property
    def n_records(self) -> int:
        """Records that the predictions are over."""
        return int(self.hit.shape[1])

    def macro(self, weights: Float[np.ndarray, "draw record"]) -> dict[str, Float[np.ndarray, "draw"]]:
        """Mean over classes of the weighted AUROC and AUPRC, for each draw of record weights.

        Raises:
            DataError: the weights are negative or do not fit the records.

        Source:
            scikit-learn's ``roc_auc_score`` and ``average_precision_score`` with ``sample_weight``.
        """
        return {metric: values.mean(axis=1) for metric, values in self.by_class(weights).items()}

    def by_class(self, weights: Float[np.ndarray, "draw record"]) -> dict[str, Float[np.ndarray, "draw class"]]:
        """Weighted AUROC and AUPRC of each class, for each draw of record weights; errors as ``macro``."""
        weights = np.asarray(weights, dtype=float)
        if weights.ndim != 2 or weights.shape[1] != self.n_records or not (weights >= 0).all():
            raise DataError(f"weights {weights.shape}: expected non-negative numbers for {self.n_records} records")
        scores = np.empty((2, len(weights), self.of_class.shape[0]))
        for start in range(0, len(weights), _DRAWS):
            part = slice(start, start + _DRAWS)
            self._score(np.ascontiguousarray(weights[part].T), scores[:, part])
        return dict(zip(METRICS, scores, strict=True))

    def _score(self, weights: Float[np.ndarray, "record draw"], scores: Float[np.ndarray, "metric draw class"]) -> None:
        """Both metrics of a few draws; works in place, fresh memory would cost more than the sums."""
        hit, passed = self.hit @ weights, self.passed @ weights
        positives, misses = self.of_class @ hit, self._cumulate(passed)
        pairs = positives * (weights.sum(axis=0) - positives)
        precision = self._cumulate(hit.copy())
        precision /= precision + misses
        precision *= hit
        if self.tied.nnz:
            misses -= (self.tied @ weights) / 2
        misses *= hit
        scores[0] = (1 - self.of_class @ misses / pairs).T
        scores[1] = (self.of_class @ precision / positives).T

    def _cumulate(self, step: Float[np.ndarray, "step draw"]) -> Float[np.ndarray, "step draw"]:
        """Sums from the first step of the class to each step, in place."""
        step[self.of_class.indptr[1:-1]] -= (self.of_class @ step)[:-1]
        return np.cumsum(step, axis=0, out=step)


def rank(labels: Shaped[np.ndarray, "record class"], scores: Float[np.ndarray, "record class"]) -> Ranking:
    """Sort the predictions of every class.

    Raises:
        DataError: there is no class, a class lacks an outcome, shapes differ, or values are not 0 or 1 or not finite.
    """
    labels, scores = check_pair(labels, scores)
    if not labels.shape[1] or not both_outcomes(labels).all():
        raise DataError(
            "labels: every class of the set must have positive and negative records; leave others out of it"
        )
    falling = -np.ascontiguousarray(scores.T)
    order = np.argsort(falling, axis=1)
    falling = np.take_along_axis(falling, order, axis=1)
    positive = np.take_along_axis(np.ascontiguousarray(labels.T), order, axis=1)
    starts = np.ones(positive.shape, dtype=bool)
    np.not_equal(falling[:, 1:], falling[:, :-1], out=starts[:, 1:])
    group = np.cumsum(starts) - 1
    holds_positive = np.bincount(group, positive.ravel()) > 0
    # Of each record: the step that passes it, or the next class's first one when it lies below the last.
    step: Int[np.ndarray, "class record"] = (np.cumsum(holds_positive) - holds_positive)[group].reshape(positive.shape)
    first_step = np.append(step[:, 0], holds_positive.sum())
    passed = ~positive & (step < first_step[1:, None])
    n_steps = int(first_step[-1])
    return Ranking(
        passed=_incidence(passed, step, order, n_steps),
        tied=_incidence(passed & holds_positive[group].reshape(positive.shape), step, order, n_steps),
        hit=_incidence(positive, step, order, n_steps),
        of_class=sparse.csr_array((np.ones(n_steps), np.arange(n_steps), first_step), shape=(len(step), n_steps)),
    )


def _incidence(
    chosen: Bool[np.ndarray, "class record"],
    step: Int[np.ndarray, "class record"],
    order: Int[np.ndarray, "class record"],
    n_steps: int,
) -> sparse.csr_array:
    where = (step[chosen], order[chosen])
    return sparse.csr_array((np.ones(len(where[0])), where), shape=(n_steps, chosen.shape[1]))
