"""Evidence: each declared contrast in each context, answered, still open, or refused with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate import seeds
from ablate.report import wording
from ablate.report.context import Context
from ablate.report.study_record import StudyRecord, arm_and_baseline
from ablate.report.version import digest_facts
from ablate.stats.contrast import Contrast, ContrastSpec, estimate, judge
from ablate.stats.effect import Effect
from ablate.stats.evaluation import Evaluation, evaluate
from ablate.stats.metrics import both_outcomes
from ablate.stats.verdict import Claim
from ablate.store.slot import SlotState
from ablate.store.study_tables import StudyTables
from ablate.study.spec import ContrastSpec as DeclaredContrast

LEAST_BLOCKS = 2  # below that there is no spread between blocks


@dataclass(frozen=True)
class Unanswered:
    """A contrast without a verdict; refused when slots failed or digests are mixed, else only to be waited for."""

    contrast: str
    context: Context
    is_refused: bool
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What the confirmation says: built once, and handed to page, dashboard, terminal and files.

    Attributes:
        contrasts: answered, every metric of each, in the order of contexts and of the study file.
        unanswered: the others.
        effects: test score of each arm by context, arm and metric, with both sources of variance in its interval.
        mixed: what differs among slots of one table; no table of scores is shown then, unless ``partial``.
        partial: whether verdicts rest on the complete blocks there are.
    """

    study: StudyRecord
    contrasts: tuple[Contrast, ...]
    effects: Mapping[tuple[Context, str, str], Effect]
    unanswered: tuple[Unanswered, ...]
    mixed: tuple[str, ...]
    partial: bool

    @property
    def refuses_tables(self) -> bool:
        """Whether scores may not stand side by side."""
        return bool(self.mixed) and not self.partial


def weigh(tables: StudyTables, *, partial: bool = False) -> Evidence:
    """Answer every declared contrast for which the planned blocks are there.

    Args:
        tables: of the study.
        partial: use the complete blocks there are, also while others wait, failed or carry other digests.
    """
    study = StudyRecord.of(tables)
    mixed = digest_facts(study).mixed
    unanswered: list[Unanswered] = []
    estimated: list[Contrast] = []
    effects: dict[tuple[Context, str, str], Effect] = {}
    for context in study.contexts:
        slots = study.phase("confirm")
        slots = slots[slots["context"] == context]
        ready: dict[tuple[int, ...], list[ContrastSpec]] = {}  # by blocks: the same blocks are evaluated once
        for contrast in study.contrasts:
            arms = list(contrast.weights())
            blocks = _complete_blocks(slots, arms)
            obstacle = _obstacle(study, slots[slots["arm"].isin(arms)], blocks, mixed=mixed, partial=partial)
            if obstacle is None:
                ready.setdefault(tuple(blocks.index), []).append(_claimed(contrast))
            else:
                unanswered.append(Unanswered(contrast.name, context, *obstacle))
        for numbers, together in ready.items():
            evaluation = _evaluate(study, slots, numbers, together, context=context)
            margins = study.margin.model_dump()
            estimated += estimate(evaluation, together, margins=margins, context=context.values)
            effects |= _arm_effects(evaluation, context)
    return Evidence(study, _in_order(study, judge(estimated)), effects, tuple(unanswered), mixed, partial)


def _claimed(contrast: DeclaredContrast) -> ContrastSpec:
    """A pair claims that the arm is better, a combination only that something is there."""
    claim = Claim.DIFFERENT if arm_and_baseline(contrast) is None else Claim.GREATER
    return ContrastSpec(contrast.name, contrast.weights(), claim)


def _evaluate(
    study: StudyRecord,
    slots: pd.DataFrame,
    blocks: Sequence[int],
    declared: Sequence[ContrastSpec],
    *,
    context: Context,
) -> Evaluation:
    test = study.tables.test
    assert test is not None
    arms = [arm for arm in study.arms if any(arm in contrast.weights for contrast in declared)]
    wide = _complete_blocks(slots, arms).loc[list(blocks)]
    predictions = {arm: np.stack([study.tables.probabilities(int(slot)) for slot in wide[arm]]) for arm in arms}
    return evaluate(
        predictions,
        test.labels,
        test.patient_id,
        classes=both_outcomes(test.labels),  # the same in every trial, since the fold never changes
        seed=seeds.derive("report", context.json),
    )


def _arm_effects(evaluation: Evaluation, context: Context) -> dict[tuple[Context, str, str], Effect]:
    return {
        (context, arm, metric): evaluation.effect(metric, {arm: 1.0})
        for metric, by_arm in evaluation.class_scores.items()
        for arm in by_arm
    }


def _in_order(study: StudyRecord, judged: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """By context, then as declared, AUROC before AUPRC."""
    names = [contrast.name for contrast in study.contrasts]
    metrics = list(wording.METRIC_NAMES)
    return tuple(
        sorted(
            judged,
            key=lambda c: (study.contexts.index(Context.of(c.context)), names.index(c.name), metrics.index(c.metric)),
        )
    )


def _complete_blocks(planned: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Slot of each arm (columns) in each block (rows) in which all of them are done."""
    done = planned[(planned["state"] == SlotState.DONE) & planned["arm"].isin(arms)]
    return (
        done.pivot_table(index="index", columns="arm", values="slot_id", aggfunc="first")
        .reindex(columns=arms)
        .dropna()
        .astype(int)
    )


def _obstacle(
    study: StudyRecord, slots: pd.DataFrame, blocks: pd.DataFrame, *, mixed: Sequence[str], partial: bool
) -> tuple[bool, str] | None:
    """Why there is no verdict, and whether it is refused; None when there can be one."""
    lost = slots[slots["state"].isin([SlotState.FAILED, SlotState.CANCELLED])]
    n_done, n_planned = int((slots["state"] == SlotState.DONE).sum()), len(slots)
    if not partial and mixed:
        return True, "digests are mixed among its slots; --partial answers all the same"
    if not partial and len(lost):
        keys = wording.listing([str(key) for key in lost["key"]], most=3)
        return (
            True,
            f"{len(lost)} of its {n_planned} slots failed ({keys}); retry them, or --partial leaves their blocks out",
        )
    if not n_planned:
        return False, "no confirmation is planned"
    if not partial and n_done < n_planned:
        return False, f"{n_done} of its {n_planned} slots are done; the verdict waits for all of them"
    if study.tables.test is None or len(blocks) < LEAST_BLOCKS:
        return False, f"{len(blocks)} complete blocks; an interval needs {LEAST_BLOCKS} or more"
    return None
