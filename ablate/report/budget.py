"""What the study cost: the search budget of each arm, and hours useful, shared and lost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.context import Context
from ablate.report.markup import Column, Html, paragraph, table
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord
from ablate.store.slot import SlotState

SHARED_STAGE = "features"  # of the frozen encoder: computed once, used by every trial
_GIB = 2**30
KINDS = ("useful", "shared", "failed")  # failed: also interrupted ones, whose slots were begun again


@dataclass(frozen=True)
class LabelCount:
    """Records whose labels a trial uses before the seal, the median over trials."""

    n_train: int
    n_val: int

    @property
    def is_turned(self) -> bool:
        """Whether more labels choose than train, so that a small share of training labels is not a small budget."""
        return self.n_val > self.n_train


@dataclass(frozen=True)
class BudgetFacts:
    """Slots and seconds by arm.

    Attributes:
        slots: (phase, arm, context) -> state -> count; ``planned`` their sum.
        seconds: arm -> useful, shared and failed seconds of finished attempts.
        labels: how many records' labels trials of a context used, where they are counted.
        kinds: of seconds; trials of a routine of the user's own share none.
        is_equal: whether every arm was given as many search trials in every context.
    """

    slots: Mapping[tuple[str, str, Context], Mapping[SlotState, int]]
    planned: Mapping[tuple[str, str, Context], int]
    seconds: Mapping[str, Mapping[str, float]]
    is_equal: bool
    devices: tuple[str, ...]
    labels: Mapping[Context, LabelCount]
    kinds: tuple[str, ...] = KINDS


def budget_facts(study: StudyRecord) -> BudgetFacts:
    """Counts of slots by state and hours by what became of them."""
    slots, planned = {}, {}
    for phase in ("search", "confirm"):
        for context, arm, rows in study.cells(study.phase(phase)):
            if len(rows):
                slots[phase, arm, context] = Counter(rows["state"])
                planned[phase, arm, context] = len(rows)
    searched = {n for (phase, _, _), n in planned.items() if phase == "search"}
    kinds = tuple(kind for kind in KINDS if kind != "shared" or study.spec.routine is None)
    return BudgetFacts(slots, planned, _seconds(study), len(searched) <= 1, _devices(study), label_counts(study), kinds)


def label_counts(study: StudyRecord) -> dict[Context, LabelCount]:
    """Labels that train and labels that choose, for each context of which a trial is done and counted them."""
    trials = study.finished("confirm" if len(study.finished("confirm")) else "search")
    if not {"n_train", "n_val"} <= set(trials):
        return {}
    used = trials[trials["n_val"] > 0].groupby("context", sort=False)[["n_train", "n_val"]].median()
    return {context: LabelCount(*map(int, used.loc[context])) for context in study.contexts if context in used.index}


def _seconds(study: StudyRecord) -> dict[str, dict[str, float]]:
    arm_of = study.slots["arm"]
    total = {arm: dict.fromkeys(KINDS, 0.0) for arm in study.arms}
    attempts = study.tables.attempts[study.tables.attempts["ended_at"].notna()]
    spans = (
        pd.to_datetime(attempts["ended_at"], utc=True) - pd.to_datetime(attempts["started_at"], utc=True)
    ).dt.total_seconds()
    for slot_id, outcome, span in zip(attempts["slot_id"], attempts["outcome"], spans, strict=True):
        total[arm_of[slot_id]]["useful" if str(outcome).lower() == "done" else "failed"] += float(span)
    shared = study.tables.seconds[study.tables.seconds["stage"] == SHARED_STAGE]
    for slot_id, span in zip(shared["slot_id"], shared["seconds"], strict=True):
        moved = min(float(span), total[arm_of[slot_id]]["useful"])
        total[arm_of[slot_id]]["useful"] -= moved
        total[arm_of[slot_id]]["shared"] += moved
    return total


def _devices(study: StudyRecord) -> tuple[str, ...]:
    devices = study.tables.attempts["device"].dropna().astype(str)
    return tuple(sorted(set(devices) - {""}))


def budget_figure(facts: BudgetFacts) -> go.Figure:
    """Hours by arm, stacked."""
    arms = list(facts.seconds)
    colours = {"useful": theme.COLOURS[2], "shared": theme.COLOURS[0], "failed": theme.COLOURS[4]}
    longest = max((sum(seconds.values()) for seconds in facts.seconds.values()), default=0.0)
    unit, span = ("hours", 3600) if longest >= 3600 else ("minutes", 60)
    bars = [
        go.Bar(
            y=arms,
            x=[facts.seconds[arm][kind] / span for arm in arms],
            name=kind,
            orientation="h",
            marker={"color": colours[kind]},
            hovertemplate=f"%{{y}}, {kind}: %{{x:.3f}} {unit}<extra></extra>",
        )
        for kind in facts.kinds
    ]
    drawn = theme.figure(bars, height=110 + 34 * len(arms), x=f"{unit} of workers", barmode="stack", bargap=0.4)
    drawn.update_layout(legend_traceorder="normal")
    return drawn.update_yaxes(**theme.category(arms, autorange="reversed"))


def budget_section(study: StudyRecord) -> Section:
    """Search budget and hours of each arm."""
    facts = budget_facts(study)
    plan = study.spec.budget
    is_fair = facts.is_equal or plan.is_until_settled
    if facts.is_equal:
        fair = "Each arm got the same number of search trials in each context, from the same sampler."
    elif plan.is_until_settled:
        fair = (
            f"Every search had the same rule: at least {plan.first_trials} trials, then more until it was settled, "
            f"{plan.most_trials} at most; so arms differ in their number."
        )
    else:
        fair = "The arms did not get the same number of search trials: a comparison of tuned arms is not fair."
    sampler = f" Sampler: {study.spec.search.sampler.name}."
    budget = paragraph(fair, sampler, class_=None if is_fair else "warning")
    return Section(
        "budget",
        "Budget and hours",
        (
            budget,
            *_label_lines(facts, is_own=study.spec.routine is not None),
            _slots_table(facts),
            *_hours(facts),
            *_packings(study),
        ),
    )


def _label_lines(facts: BudgetFacts, *, is_own: bool) -> tuple[Html, ...]:
    """How many labels train and choose; a warning where the most labels choose, with a remedy but for own routines."""
    remedy = "" if is_own else ": where labels are few, write fixed.val_fraction = 'as data_fraction'"
    return tuple(
        paragraph(
            f"Labels{wording.with_context(context)}: {wording.whole(count.n_train)} records train, "
            f"{wording.whole(count.n_val)} choose the epoch and the params.",
            f" More labels choose than train{remedy}." if count.is_turned else "",
            class_="warning" if count.is_turned else None,
        )
        for context, count in facts.labels.items()
    )


_STATE_TITLES = {
    SlotState.LEASED: "going",
    SlotState.WAITING: "waiting",
    SlotState.FAILED: "failed",
    SlotState.CANCELLED: "cancelled",
}


def _slots_table(facts: BudgetFacts) -> Html:
    """A row for each arm and context; columns of states that no slot is in are left out."""
    others = [state for state in _STATE_TITLES if any(state in counts for counts in facts.slots.values())]
    phases = [phase for phase in ("search", "confirm") if any(key[0] == phase for key in facts.slots)]
    columns = [
        Column("arm"),
        Column("data", wording.share_text),
        *(Column(f"{phase}, done", number=True) for phase in phases),
        *(Column(_STATE_TITLES[state], wording.whole, True) for state in others),
    ]
    rows = []
    for arm, context in dict.fromkeys((arm, context) for _, arm, context in facts.slots):
        keys = [(phase, arm, context) for phase in phases]
        counts = [facts.slots.get(key, {}) for key in keys]
        done = [
            f"{states.get(SlotState.DONE, 0)} of {facts.planned[key]}" if states else wording.NONE
            for key, states in zip(keys, counts, strict=True)
        ]
        rows.append([arm, context, *done, *(sum(states.get(state, 0) for states in counts) for state in others)])
    return table(columns, rows, label="Slots by arm and context")


def _packings(study: StudyRecord) -> tuple[Html, ...]:
    """How many trainers shared a GPU, and the measurement that says so."""
    if not study.tables.packings:
        return ()
    columns = [
        Column("device"),
        Column("trainers", wording.whole, True),
        Column("steps/s", number=True),
        Column("times one", number=True),
        Column("memory in use, GiB", number=True),
    ]
    rows = [
        (
            packing["gpu"],
            level["n_trainers"],
            f"{level['steps_per_s']:.1f}",
            f"{level['steps_per_s'] / packing['levels'][0]['steps_per_s']:.2f}",
            f"{level['used_bytes'] / _GIB:.1f} of {level['total_bytes'] / _GIB:.1f}",
        )
        for packing in study.tables.packings
        for level in packing["levels"]
    ]
    chosen = "; ".join(f"{one['n_trainers']} on {one['gpu']} ({one['why']})" for one in study.tables.packings)
    said = paragraph(f"Trainers that a device is good for, by a pilot with this study's trials: {chosen}.")
    return said, table(columns, rows, label="Trainers sharing a device")


def _hours(facts: BudgetFacts) -> tuple[Picture, ...]:
    total = {kind: sum(arm[kind] for arm in facts.seconds.values()) for kind in facts.kinds}
    if not sum(total.values()):
        return ()
    spent = ", ".join(f"{wording.hours(total[kind])} {kind}" for kind in facts.kinds)
    devices = f" On {wording.listing(list(facts.devices))}." if facts.devices else ""
    shared = "Shared: features of the frozen encoder, computed once for every trial. " if "shared" in total else ""
    note = f"In all {spent}. {shared}Failed: interrupted attempts too.{devices}"
    rows = [(arm, *(wording.hours(seconds[kind]) for kind in facts.kinds)) for arm, seconds in facts.seconds.items()]
    columns = [Column("arm"), *(Column(kind, number=True) for kind in facts.kinds)]
    alt = f"Hours of workers by arm: {spent}."
    return (Picture("hours", "Hours by arm", alt, budget_figure(facts), columns, rows, note=note, wide=True),)
