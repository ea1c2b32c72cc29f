"""The arms of one context on the test fold: the score of each block, and each patient's part in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.errors import DataError, SpecError
from ablate.stats.effect import Effect, crossed_variance, patient_parts, two_source_effect
from ablate.stats.metrics import METRICS, auprc_of, auroc_of, missing_outcomes
from ablate.stats.pseudo_value import pseudo_values_of
from ablate.stats.score_order import order

_CLASS_SCORES = {"auroc": auroc_of, "auprc": auprc_of}
Block = tuple[float, Float[np.ndarray, "patient"]]  # its macro score and the patients' parts


@dataclass(frozen=True)
class Units:
    """What a combination of arms scored in each unit: a block, or all blocks of one search.

    Attributes:
        differences: macro score, or the weighted combination of several arms'.
        parts: of each patient; their squares sum to a unit's variance over test folds.
    """

    differences: Float[np.ndarray, "unit"]
    parts: Float[np.ndarray, "unit patient"]

    def effect(self) -> Effect:
        """Mean over units with both sources of variance.

        Raises:
            SpecError: fewer than two units.
        """
        return two_source_effect(self.differences, crossed_variance(self.parts))


@dataclass(frozen=True)
class Evaluation:
    """Everything that contrasts of these arms need.

    Attributes:
        blocks: of each arm by metric and number; the same number is the same replicate in every arm.
        searches: which search chose the params of a block; where it names several, they are the units.
    """

    blocks: Mapping[str, Mapping[str, Mapping[int, Block]]]
    n_classes: int
    searches: Mapping[int, int] | None = None

    @property
    def n_patients(self) -> int:
        """Of the test fold."""
        of_arm = next(iter(self.blocks[METRICS[0]].values()))
        return len(next(iter(of_arm.values()))[1])

    def complete(self, arms: Mapping[str, float]) -> tuple[int, ...]:
        """Numbers of the blocks that all these arms have, in order.

        Raises:
            SpecError: there is no such arm.
        """
        by_arm = self.blocks[METRICS[0]]
        if unknown := sorted(set(arms) - set(by_arm)):
            raise SpecError(f"arm {unknown[0]}: is not evaluated; expected one of {', '.join(sorted(by_arm))}")
        return tuple(sorted(set.intersection(*(set(by_arm[arm]) for arm in arms))))

    def first(self, n_blocks: int) -> "Evaluation":
        """With the blocks of the lowest numbers only, as it was before there were more."""
        kept = {
            metric: {arm: {block: by[block] for block in by if block < n_blocks} for arm, by in arms.items()}
            for metric, arms in self.blocks.items()
        }
        return replace(self, blocks=kept)

    def units(self, metric: str, weights: Mapping[str, float], blocks: tuple[int, ...]) -> Units:
        """The weighted combination of arms in these blocks; one arm with weight 1 gives its own scores."""
        of_arm = [(weight, self.blocks[metric][arm]) for arm, weight in weights.items()]
        scores = np.array([sum(weight * by[block][0] for weight, by in of_arm) for block in blocks])
        parts = np.stack([np.sum([weight * by[block][1] for weight, by in of_arm], axis=0) for block in blocks])
        groups = [self.searches.get(block, 0) for block in blocks] if self.searches else []
        if len(set(groups)) < 2:
            return Units(scores, parts)
        chosen = [np.array(groups) == group for group in dict.fromkeys(groups)]
        return Units(
            np.array([scores[rows].mean() for rows in chosen]), np.stack([parts[rows].mean(axis=0) for rows in chosen])
        )

    def arm_effect(self, metric: str, arm: str) -> Effect:
        """An arm's own score over all its blocks, with an interval on the logit scale.

        Raises:
            SpecError: fewer than two blocks.
        """
        return self.units(metric, {arm: 1.0}, self.complete({arm: 1.0})).effect().on_logit_scale()


def evaluate(
    arms: Mapping[str, Mapping[int, Float[np.ndarray, "record class"]]],
    labels: Shaped[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
    *,
    classes: Bool[np.ndarray, "class"] | None = None,
    searches: Mapping[int, int] | None = None,
) -> Evaluation:
    """Score every block of every arm.

    Args:
        arms: predicted probabilities by arm and block; the same block is the same replicate in every arm.
        classes: the fixed set of classes that counts; all when None.
        searches: number of the search behind each block, where there are several.

    Raises:
        SpecError: an arm has no block.
        DataError: the set of classes is empty, one of its classes lacks an outcome, or shapes differ.
    """
    counted = np.ones(labels.shape[1], dtype=bool) if classes is None else np.asarray(classes, dtype=bool)
    truth = np.ascontiguousarray(np.asarray(labels, dtype=bool)[:, counted])
    _check(arms, truth, patients, missing_outcomes(labels, classes=counted))
    scored = {
        arm: {block: _scored(truth, scores[:, counted], patients) for block, scores in blocks.items()}
        for arm, blocks in arms.items()
    }
    by_metric = {
        metric: {
            arm: {block: pseudo_values[metric] for block, pseudo_values in blocks.items()}
            for arm, blocks in scored.items()
        }
        for metric in METRICS
    }
    return Evaluation(by_metric, int(counted.sum()), searches)


def _scored(
    labels: Bool[np.ndarray, "record class"],
    scores: Float[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
) -> dict[str, Block]:
    by = order(labels, scores)
    values = pseudo_values_of(by)
    return {
        metric: (float(_CLASS_SCORES[metric](by).mean()), patient_parts(values[metric], labels, patients))
        for metric in METRICS
    }


def _check(
    arms: Mapping[str, Mapping[int, Float[np.ndarray, "record class"]]],
    truth: Bool[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
    missing: Mapping[int, str],
) -> None:
    if truth.shape[1] == 0:
        raise DataError("classes: the set is empty; expected at least one class to average over")
    if missing:
        reasons = "; ".join(f"class {index}: {reason}" for index, reason in missing.items())
        raise DataError(f"classes: {reasons}; fix the set of classes before training so that each has both outcomes")
    if len(patients) != len(truth):
        raise DataError(f"patients: {len(patients)} for {len(truth)} records; expected one for each record")
    if not arms or not all(arms.values()):
        raise SpecError(f"blocks of the arms: { {arm: len(of) for arm, of in arms.items()} }; expected at least 1 each")
