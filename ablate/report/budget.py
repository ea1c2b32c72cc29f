"""What the study cost: the search budget of each arm, and hours useful, shared and lost."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from ablate.report import frame, theme, wording
from ablate.report.markup import Column, Html, paragraph, table
from ablate.report.section import Picture, Section
from ablate.store.study_tables import StudyTables

SHARED_STAGE = "features"  # of the frozen encoder: computed once, used by every trial
_GIB = 2**30
KINDS = ("useful", "shared", "failed")  # failed: also interrupted ones, whose slots were begun again


@dataclass(frozen=True)
class BudgetFacts:
    """Slots and seconds by arm.

    Attributes:
        slots: (phase, arm, context) -> state -> count, "planned" among the states.
        seconds: arm -> useful, shared and failed seconds of finished attempts.
        is_equal: whether every arm was given as many search trials in every context.
    """

    slots: Mapping[tuple[str, str, str], Mapping[str, int]]
    seconds: Mapping[str, Mapping[str, float]]
    is_equal: bool
    devices: tuple[str, ...]


def budget_facts(tables: StudyTables) -> BudgetFacts:
    """Counts of slots by state and hours by what became of them."""
    slots = {}
    for phase in ("search", "confirm"):
        for context, arm, rows in frame.groups(frame.slots(tables, phase=phase), tables):
            if len(rows):
                states = {str(name): int(count) for name, count in rows["state"].value_counts().items()}
                slots[phase, arm, context] = {"planned": len(rows)} | states
    planned = {counts["planned"] for (phase, _, _), counts in slots.items() if phase == "search"}
    return BudgetFacts(slots, _seconds(tables), len(planned) <= 1, _devices(tables))


def _seconds(tables: StudyTables) -> dict[str, dict[str, float]]:
    arm_of = tables.slots.set_index("slot_id")["arm"].astype(str)
    total = {arm: dict.fromkeys(KINDS, 0.0) for arm in frame.arms(tables)}
    attempts = tables.attempts[tables.attempts["ended_at"].notna()]
    spans = (
        pd.to_datetime(attempts["ended_at"], utc=True) - pd.to_datetime(attempts["started_at"], utc=True)
    ).dt.total_seconds()
    for slot_id, outcome, span in zip(attempts["slot_id"], attempts["outcome"], spans, strict=True):
        total[arm_of[slot_id]]["useful" if str(outcome).lower() == "done" else "failed"] += float(span)
    shared = tables.seconds[tables.seconds["stage"] == SHARED_STAGE]
    for slot_id, span in zip(shared["slot_id"], shared["seconds"], strict=True):
        moved = min(float(span), total[arm_of[slot_id]]["useful"])
        total[arm_of[slot_id]]["useful"] -= moved
        total[arm_of[slot_id]]["shared"] += moved
    return total


def _devices(tables: StudyTables) -> tuple[str, ...]:
    known = tables.attempts["device"].dropna().astype(str)
    return tuple(sorted(set(known) - {""}))


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
        for kind in KINDS
    ]
    drawn = theme.figure(bars, height=110 + 34 * len(arms), x=f"{unit} of workers", barmode="stack", bargap=0.4)
    drawn.update_layout(legend_traceorder="normal")
    return drawn.update_yaxes(**theme.category(arms, autorange="reversed"))


def budget_section(tables: StudyTables) -> Section:
    """Search budget and hours of each arm."""
    facts = budget_facts(tables)
    fair = (
        "Each arm got the same number of search trials in each context, from the same sampler."
        if facts.is_equal
        else "The arms did not get the same number of search trials: a comparison of tuned arms is not fair."
    )
    sampler = (tables.spec.get("search") or {}).get("sampler")
    names = [
        paragraph(fair, f" Sampler: {sampler}." if sampler else None, class_=None if facts.is_equal else "warning")
    ]
    return Section("budget", "Budget and hours", (*names, _slots_table(facts), *_hours(facts), *_packings(tables)))


def _slots_table(facts: BudgetFacts) -> Html:
    """A row for each arm and context; columns of states that no slot is in are left out."""
    others = [
        name
        for name in ("LEASED", "WAITING", "FAILED", "CANCELLED")
        if any(name in counts for counts in facts.slots.values())
    ]
    titles = {"LEASED": "going", "WAITING": "waiting", "FAILED": "failed", "CANCELLED": "cancelled"}
    phases = [phase for phase in ("search", "confirm") if any(key[0] == phase for key in facts.slots)]
    columns = [
        Column("arm"),
        Column("data", wording.share_text),
        *(Column(f"{phase}, done", number=True) for phase in phases),
        *(Column(titles[name], wording.whole, True) for name in others),
    ]
    rows = []
    for arm, context in dict.fromkeys((arm, context) for _, arm, context in facts.slots):
        counts = [facts.slots.get((phase, arm, context), {}) for phase in phases]
        done = [f"{of.get('DONE', 0)} of {of['planned']}" if of else wording.NONE for of in counts]
        rows.append([arm, context, *done, *(sum(of.get(name, 0) for of in counts) for name in others)])
    return table(columns, rows, label="Slots by arm and context")


def _packings(tables: StudyTables) -> tuple[Html, ...]:
    """How many trainers shared a GPU, and the measurement that says so."""
    if not tables.packings:
        return ()
    columns = [
        Column("device"),
        Column("trainers", wording.whole, True),
        Column("batches/s", number=True),
        Column("times one", number=True),
        Column("memory in use, GiB", number=True),
    ]
    rows = [
        (
            packing["gpu"],
            level["n_trainers"],
            f"{level['batches_per_s']:.1f}",
            f"{level['batches_per_s'] / packing['levels'][0]['batches_per_s']:.2f}",
            f"{level['used_bytes'] / _GIB:.1f} of {level['total_bytes'] / _GIB:.1f}",
        )
        for packing in tables.packings
        for level in packing["levels"]
    ]
    chosen = "; ".join(f"{one['n_trainers']} on {one['gpu']} ({one['why']})" for one in tables.packings)
    said = paragraph(f"Trainers that a device is good for, by a pilot with this study's trials: {chosen}.")
    return said, table(columns, rows, label="Trainers sharing a device")


def _hours(facts: BudgetFacts) -> tuple[Picture, ...]:
    total = {kind: sum(arm[kind] for arm in facts.seconds.values()) for kind in KINDS}
    if not sum(total.values()):
        return ()
    spent = ", ".join(f"{wording.hours(total[kind])} {kind}" for kind in KINDS)
    devices = f" On {wording.listing(list(facts.devices))}." if facts.devices else ""
    what = "Shared: features of the frozen encoder, computed once for every trial. Failed: interrupted attempts too."
    note = f"In all {spent}. {what}{devices}"
    rows = [(arm, *(wording.hours(seconds[kind]) for kind in KINDS)) for arm, seconds in facts.seconds.items()]
    columns = [Column("arm"), *(Column(kind, number=True) for kind in KINDS)]
    alt = f"Hours of workers by arm: {spent}."
    return (Picture("hours", "Hours by arm", alt, budget_figure(facts), columns, rows, note=note, wide=True),)
