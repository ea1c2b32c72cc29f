"""The arms of one context, evaluated once on the test fold: scores, pseudo-values and draws for any contrast."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.errors import DataError, SpecError
from ablate.stats.bootstrap import Draws, crossed_bootstrap
from ablate.stats.effect import Effect, patient_variance, two_source_effect
from ablate.stats.metrics import METRICS, auprc_of, auroc_of, missing_outcomes
from ablate.stats.pseudo_value import pseudo_values_of
from ablate.stats.score_order import order
from ablate.stats.weighted_score import rank

_CLASS_SCORES = {"auroc": auroc_of, "auprc": auprc_of}


@dataclass(frozen=True)
class Evaluation:
    """Everything that contrasts of these arms need.

    Attributes:
        labels: of the classes that count.
        class_scores: by metric and arm.
        pseudo_values: by metric and arm, of the score averaged over blocks.
    """

    labels: Bool[np.ndarray, "record class"]
    patients: Int[np.ndarray, "record"]
    class_scores: Mapping[str, Mapping[str, Float[np.ndarray, "block class"]]]
    pseudo_values: Mapping[str, Mapping[str, Float[np.ndarray, "class record"]]]
    draws: Draws

    def scores(self, metric: str, weights: Mapping[str, float]) -> Float[np.ndarray, "block"]:
        """Macro score of each block, or the weighted combination of several arms' scores."""
        parts = [weight * self.class_scores[metric][arm].mean(axis=1) for arm, weight in weights.items()]
        return np.asarray(np.sum(parts, axis=0))

    def effect(self, metric: str, weights: Mapping[str, float], *, level: float = 0.95) -> Effect:
        """Mean of ``scores`` over blocks, with both sources of variance; one arm with weight 1 gives its own interval.

        Raises:
            SpecError: fewer than two blocks.
        """
        moved = np.sum([weight * self.pseudo_values[metric][arm] for arm, weight in weights.items()], axis=0)
        variance = patient_variance(moved, self.labels, self.patients)
        return two_source_effect(self.scores(metric, weights), variance, level=level)


def evaluate(
    arms: Mapping[str, Float[np.ndarray, "block record class"]],
    labels: Shaped[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
    *,
    classes: Bool[np.ndarray, "class"] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Score every block of every arm.

    Args:
        arms: predicted probabilities; the same block index is the same replicate in every arm.
        classes: the fixed set of classes that counts; all when None.

    Raises:
        SpecError: no arm, no block, or arms with different numbers of blocks.
        DataError: the set of classes is empty, one of its classes lacks an outcome, or shapes differ.
    """
    counted = np.ones(labels.shape[1], dtype=bool) if classes is None else np.asarray(classes, dtype=bool)
    truth = np.ascontiguousarray(np.asarray(labels, dtype=bool)[:, counted])
    _check(arms, truth, patients, missing_outcomes(labels, classes=counted))
    chosen = {arm: [block[:, counted] for block in blocks] for arm, blocks in arms.items()}
    sorted_blocks = {arm: [order(truth, block) for block in blocks] for arm, blocks in chosen.items()}
    values = {arm: [pseudo_values_of(by) for by in blocks] for arm, blocks in sorted_blocks.items()}
    return Evaluation(
        labels=truth,
        patients=np.asarray(patients),
        class_scores={
            metric: {arm: np.stack([score(by) for by in blocks]) for arm, blocks in sorted_blocks.items()}
            for metric, score in _CLASS_SCORES.items()
        },
        pseudo_values={
            metric: {arm: np.asarray(np.mean([block[metric] for block in values[arm]], axis=0)) for arm in chosen}
            for metric in METRICS
        },
        draws=crossed_bootstrap(
            {arm: [rank(truth, block) for block in blocks] for arm, blocks in chosen.items()},
            patients,
            n_draws=n_draws,
            seed=seed,
        ),
    )


def _check(
    arms: Mapping[str, Float[np.ndarray, "block record class"]],
    truth: Bool[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
    missing: Mapping[int, str],
) -> None:
    if truth.shape[1] == 0:
        raise DataError("classes: the set is empty; expected at least one class to average over")
    if missing:
        told = "; ".join(f"class {index}: {reason}" for index, reason in missing.items())
        raise DataError(f"classes: {told}; fix the set of classes before training so that each has both outcomes")
    if len(patients) != len(truth):
        raise DataError(f"patients: {len(patients)} for {len(truth)} records; expected one for each record")
    lengths = {arm: len(blocks) for arm, blocks in arms.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise SpecError(f"blocks of the arms: {lengths}; expected the blocks that every arm has finished, at least 1")
