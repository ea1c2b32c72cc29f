"""What the confirmation has scored so far, from the store's predictions: what verdicts and looks rest on."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ablate.stats.evaluation import Evaluation, evaluate
from ablate.stats.metrics import both_outcomes
from ablate.store.slot import SlotState
from ablate.study.inference import Inference
from ablate.study.spec import Spec

if TYPE_CHECKING:  # pandas starts a thread, and what forks trainers may have none
    from ablate.store.study_tables import StudyTables


class Replicate(NamedTuple):
    """One confirming slot of a context."""

    arm: str
    block: int
    slot_id: int
    state: SlotState


def counts(inference: Inference, state: SlotState) -> bool:
    """Whether a replicate enters its block: it is done, or failed where the study says that failures count."""
    return state == SlotState.DONE or (state == SlotState.FAILED and inference.failures == "worst")


def evaluate_confirmed(
    tables: "StudyTables", spec: Spec, inference: Inference, replicates: Iterable[Replicate], arms: Sequence[str]
) -> Evaluation | None:
    """Scores of the arms' replicates in one context; None before the first confirmation.

    A failed replicate, where it counts, has learned nothing: the same score for every record, AUROC one half.
    """
    if tables.test is None:
        return None
    nothing_learned = np.zeros(tables.test.labels.shape, dtype=np.float32)
    predictions: dict[str, dict[int, np.ndarray]] = {arm: {} for arm in arms}
    for one in replicates:
        if one.arm in predictions and counts(inference, one.state):
            is_done = one.state == SlotState.DONE
            predictions[one.arm][one.block] = tables.probabilities(one.slot_id) if is_done else nothing_learned
    n_searches = spec.budget.searches
    return evaluate(
        predictions,
        tables.test.labels,
        tables.test.patient_id,
        classes=both_outcomes(tables.test.labels),  # the same in every trial, since the fold never changes
        searches={block: block % n_searches for by in predictions.values() for block in by} if n_searches > 1 else None,
    )
