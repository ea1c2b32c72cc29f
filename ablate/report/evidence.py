"""Evidence: each declared contrast in each context, answered, still open, or refused with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.study_record import OPEN, StudyRecord
from ablate.report.version import digest_facts
from ablate.stats.contrast import Contrast
from ablate.stats.declaration import Declaration
from ablate.stats.effect import Effect
from ablate.stats.evaluation import Evaluation
from ablate.stats.judge import judge
from ablate.store.slot import SlotState
from ablate.store.study_tables import StudyTables
from ablate.study.confirmed import Replicate, counts, evaluate_confirmed
from ablate.study.looks import unsettled_arms
from ablate.study.seal import declared

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
    evaluations: dict[Context, Evaluation] = {}
    for context in study.contexts:
        slots = study.phase("confirm")
        slots = slots[slots["context"] == context]
        counted = _counted(study, slots)
        needed: set[str] = set()
        for contrast in study.contrasts:
            arms = list(contrast.weights())
            obstacle = _obstacle(
                study, _shared(slots, arms), _complete_blocks(counted, arms), mixed=mixed, partial=partial
            )
            if obstacle is None:
                needed |= set(arms)
            else:
                unanswered.append(Unanswered(contrast.name, context, *obstacle))
        evaluated = _evaluate(study, counted, [arm for arm in study.arms if arm in needed])
        if evaluated is not None:
            evaluations[context] = evaluated
    contrasts = judge(
        declaration_of(study),
        {context.json: evaluation for context, evaluation in evaluations.items()},
        refused=[(one.context.json, one.contrast) for one in unanswered],
        unsettled=unsettled_arms(study.spec, study.seal) if study.seal else {},
        # Where looks were declared, fewer blocks than planned are an earlier look and not the last one.
        is_over=not study.inference.looks and not study.phase("confirm")["state"].isin(OPEN).any(),
    )
    return Evidence(study, _in_order(study, contrasts), _arm_effects(evaluations), tuple(unanswered), mixed, partial)


def declaration_of(study: StudyRecord) -> Declaration:
    """What was declared of a study, answered or not."""
    return declared(study.spec, study.seal)


def _counted(study: StudyRecord, slots: pd.DataFrame) -> pd.DataFrame:
    """Slots whose replicates count: those done, and where the study says so those that failed for good."""
    # An empty list would choose columns, none of them.
    return slots[np.array([counts(study.inference, state) for state in slots["state"]], dtype=bool)]


def _shared(slots: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Slots of the arms in the blocks that are planned for all of them; after a look some arms get no further ones."""
    of_arms = slots[slots["arm"].isin(arms)]
    n_arms = of_arms.groupby("index")["arm"].transform("nunique")
    return of_arms[n_arms == len(arms)]


def _evaluate(study: StudyRecord, slots: pd.DataFrame, arms: Sequence[str]) -> Evaluation | None:
    replicates = [
        Replicate(arm, int(block), int(slot_id), state)
        for arm, block, slot_id, state in zip(
            slots["arm"], slots["index"], slots["slot_id"], slots["state"], strict=True
        )
    ]
    return evaluate_confirmed(study.tables, study.spec, study.inference, replicates, arms) if arms else None


def _arm_effects(evaluations: Mapping[Context, Evaluation]) -> dict[tuple[Context, str, str], Effect]:
    return {
        (context, arm, metric): evaluation.arm_effect(metric, arm)
        for context, evaluation in evaluations.items()
        for metric, by_arm in evaluation.blocks.items()
        for arm, blocks in by_arm.items()
        if len(blocks) >= LEAST_BLOCKS
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


def _complete_blocks(counted: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Slot of each arm (columns) in each block (rows) that all of them have."""
    chosen = counted[counted["arm"].isin(arms)]
    wide = chosen.pivot_table(index="index", columns="arm", values="slot_id", aggfunc="first")
    return wide.reindex(columns=arms).dropna().astype(int)


def _obstacle(
    study: StudyRecord, slots: pd.DataFrame, blocks: pd.DataFrame, *, mixed: Sequence[str], partial: bool
) -> tuple[bool, str] | None:
    """Why there is no verdict, and whether it is refused; None when there can be one."""
    lost = slots[slots["state"].isin([SlotState.FAILED, SlotState.CANCELLED])]
    lost = lost.drop(_counted(study, lost).index)
    n_done, n_planned = len(_counted(study, slots)), len(slots)
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
    looks = [*(study.inference.looks or [study.spec.budget.replicates]), *study.extensions]
    at_a_look = (study.inference.looks or study.extensions) and any(
        len(_counted(study, slots[slots["index"] < look])) == len(slots[slots["index"] < look])
        for look in looks
        if look <= slots["index"].nunique()
    )
    if not partial and n_done < n_planned and not at_a_look:
        return False, f"{n_done} of its {n_planned} slots are done; the verdict waits for all of them"
    if study.tables.test is None or len(blocks) < LEAST_BLOCKS:
        return False, f"{len(blocks)} complete blocks; an interval needs {LEAST_BLOCKS} or more"
    return None
