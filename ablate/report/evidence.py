"""Evidence: each declared contrast in each context, answered, still open, or refused with its reason."""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate import seeds
from ablate.report import frame, wording
from ablate.report.version import digest_facts
from ablate.stats.contrast import Contrast, ContrastSpec, estimate, judge
from ablate.stats.effect import Effect
from ablate.stats.evaluation import Evaluation, evaluate
from ablate.stats.metrics import both_outcomes
from ablate.stats.verdict import Claim
from ablate.store.study_tables import StudyTables

LEAST_BLOCKS = 2  # below that there is no spread between blocks


@dataclass(frozen=True)
class Unanswered:
    """A contrast without a verdict; refused when slots failed or digests are mixed, else only to be waited for."""

    contrast: str
    context: str
    is_refused: bool
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What the confirmation says.

    Attributes:
        contrasts: answered, every metric of each, in the order of contexts and of the study file.
        unanswered: the others.
        effects: test score of each arm by context, arm and metric, with both sources of variance in its interval.
        mixed: what differs among slots of one table; no table of scores is shown then, unless ``partial``.
    """

    contrasts: tuple[Contrast, ...]
    effects: Mapping[tuple[str, str, str], Effect]
    unanswered: tuple[Unanswered, ...]
    mixed: tuple[str, ...]
    partial: bool

    @property
    def refuses_tables(self) -> bool:
        """Whether scores may not stand side by side."""
        return bool(self.mixed) and not self.partial


def weigh(tables: StudyTables, *, partial: bool = False) -> Evidence:
    """Answer every declared contrast for which the planned blocks are there.

    Page, dashboard and terminal ask for the same tables one after the other, so the latest answer is kept.

    Args:
        partial: use the complete blocks there are, also while others wait, failed or carry other digests.
    """
    kept = _latest.get(partial)
    if kept is None or kept[0]() is not tables:
        kept = _latest[partial] = weakref.ref(tables), _weigh(tables, partial=partial)
    return kept[1]


_latest: dict[bool, tuple[weakref.ref[StudyTables], Evidence]] = {}


def _weigh(tables: StudyTables, *, partial: bool) -> Evidence:
    mixed = digest_facts(tables).mixed
    planned = frame.slots(tables, phase="confirm")
    unanswered: list[Unanswered] = []
    estimated: list[Contrast] = []
    effects: dict[tuple[str, str, str], Effect] = {}
    for context in frame.contexts(tables):
        slots = planned[planned["context"] == context]
        ready: dict[tuple[int, ...], list[ContrastSpec]] = {}  # by blocks: the same blocks are evaluated once
        for entry in frame.contrasts(tables):
            declared = _declared(entry)
            blocks = _complete_blocks(slots, list(declared.weights))
            obstacle = _obstacle(
                tables, slots[slots["arm"].isin(list(declared.weights))], blocks, mixed=mixed, partial=partial
            )
            if obstacle is None:
                ready.setdefault(tuple(blocks.index), []).append(declared)
            else:
                unanswered.append(Unanswered(declared.name, context, *obstacle))
        for numbers, together in ready.items():
            evaluation = _evaluate(tables, slots, numbers, together, context=context)
            factors = wording.context_values(context)
            estimated += estimate(evaluation, together, margins=margin_by_metric(tables), context=factors)
            effects |= _arm_effects(evaluation, context)
    return Evidence(_in_order(tables, judge(estimated)), effects, tuple(unanswered), mixed, partial)


def _declared(entry: Mapping[str, Any]) -> ContrastSpec:
    """A pair claims that the arm is better, a combination only that something is there."""
    claim = Claim.DIFFERENT if frame.pair(entry) is None else Claim.GREATER
    return ContrastSpec(str(entry["name"]), frame.weights(entry), claim)


def _evaluate(
    tables: StudyTables,
    slots: pd.DataFrame,
    blocks: Sequence[int],
    declared: Sequence[ContrastSpec],
    *,
    context: str,
) -> Evaluation:
    assert tables.test is not None
    arms = [arm for arm in frame.arms(tables) if any(arm in contrast.weights for contrast in declared)]
    wide = _complete_blocks(slots, arms).loc[list(blocks)]
    predictions = {arm: np.stack([tables.probabilities(int(slot)) for slot in wide[arm]]) for arm in arms}
    return evaluate(
        predictions,
        tables.test.labels,
        tables.test.patient_id,
        classes=both_outcomes(tables.test.labels),  # the same in every trial, since the fold never changes
        seed=seeds.derive("report", context),
    )


def _arm_effects(evaluation: Evaluation, context: str) -> dict[tuple[str, str, str], Effect]:
    return {
        (context, arm, metric): evaluation.effect(metric, {arm: 1.0})
        for metric, by_arm in evaluation.class_scores.items()
        for arm in by_arm
    }


def margin_by_metric(tables: StudyTables) -> dict[str, float]:
    """Margins of equivalence, the sealed ones where there is a seal."""
    margins = (tables.seal or {}).get("margin") or tables.spec.get("margin") or {}
    return {str(key): float(value) for key, value in margins.items() if value is not None}


def _in_order(tables: StudyTables, found: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """By context, then as declared, AUROC before AUPRC."""
    names = [str(entry["name"]) for entry in frame.contrasts(tables)]
    places = {context: place for place, context in enumerate(frame.contexts(tables))}
    metrics = list(wording.METRIC_NAMES)
    return tuple(
        sorted(found, key=lambda c: (places[frame.canonical(c.context)], names.index(c.name), metrics.index(c.metric)))
    )


def _complete_blocks(planned: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Slot of each arm (columns) in each block (rows) in which all of them are done."""
    done = planned[(planned["state"] == frame.DONE) & planned["arm"].isin(arms)]
    return (
        done.pivot_table(index="index", columns="arm", values="slot_id", aggfunc="first")
        .reindex(columns=arms)
        .dropna()
        .astype(int)
    )


def _obstacle(
    tables: StudyTables, slots: pd.DataFrame, blocks: pd.DataFrame, *, mixed: Sequence[str], partial: bool
) -> tuple[bool, str] | None:
    """Why there is no verdict, and whether it is refused; None when there can be one."""
    lost = slots[slots["state"].isin([frame.FAILED, frame.CANCELLED])]
    n_done, n_planned = int((slots["state"] == frame.DONE).sum()), len(slots)
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
    if tables.test is None or len(blocks) < LEAST_BLOCKS:
        return False, f"{len(blocks)} complete blocks; an interval needs {LEAST_BLOCKS} or more"
    return None
