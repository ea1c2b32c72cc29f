"""Every planned trial with its state: a table to sort and to filter."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablate.report import wording
from ablate.report.markup import Column, Html, table, tag
from ablate.report.section import Section
from ablate.report.study_record import SCORES, StudyRecord


@dataclass(frozen=True)
class TrialFacts:
    """All slots, a row each, as trials.csv holds them."""

    frame: pd.DataFrame
    params: tuple[str, ...]


def trial_facts(study: StudyRecord) -> TrialFacts:
    """Slots joined with scores, params and seconds, in the order of the plan."""
    slots = study.slots.assign(
        context=study.slots["context"].map(wording.context_key), state=study.slots["state"].map(str)
    )
    scores = study.tables.scores.reindex(slots.index)
    scores = scores[[name for name in scores if name not in slots and name not in ("lost_classes", "n_skipped")]]
    params = study.tables.params.reindex(slots.index).add_prefix("param_")
    spent = study.tables.seconds.groupby("slot_id")["seconds"].sum().reindex(slots.index).rename("seconds")
    joined = slots.join(scores).join(spent).join(params)
    joined["stopped_epoch"] = joined["stopped_epoch"].astype("Int64")
    order = joined["phase"].map({"search": 0, "confirm": 1})
    joined = joined.assign(_order=order).sort_values(["_order", "slot_id"]).drop(columns="_order")
    return TrialFacts(joined.reset_index(drop=True), tuple(study.tables.params.columns))


def trial_section(study: StudyRecord) -> Section:
    """The table and its filter."""
    facts = trial_facts(study)
    states = facts.frame["state"].value_counts()
    counts = ", ".join(f"{wording.whole(count)} {state}" for state, count in states.items()) or "none planned"
    field = tag(
        "input",
        type="search",
        placeholder="filter: lp_sd confirm failed …",
        aria_label="Filter the trials",
        data_filter="trials",
    )
    bar = tag("div", field, tag("span", counts, class_="note", data_count="trials", role="status"), class_="bar")
    return Section("trials", "Every trial", (bar, _table(facts)))


def _table(facts: TrialFacts) -> Html:
    scores = [name for name in SCORES if name in facts.frame and facts.frame[name].notna().any()]
    varied = [name for name in facts.params if facts.frame[f"param_{name}"].nunique() > 1]
    columns = [
        Column("slot"),
        Column("state", _state),
        Column("tries", wording.whole, True),
        *(Column(wording.short_name(name), wording.number, True) for name in scores),
        Column("epoch", wording.whole, True),
        Column("time", wording.hours, True),
        *(Column(name, wording.general, True) for name in varied),
        Column("reason", long=True),
    ]
    rows = [_row(row, scores, varied) for row in facts.frame.to_dict("records")]
    return table(columns, rows, label="Every trial", class_="sortable", id_="trials-table")


def _row(row: dict[str, Any], scores: list[str], params: list[str]) -> list[Any]:
    reason = "" if wording.missing(row.get("reason")) else row["reason"]
    return [
        row["key"],
        row["state"],
        row["attempts"],
        *(row[name] for name in scores),
        row.get("best_epoch"),
        row["seconds"],
        *(row[f"param_{name}"] for name in params),
        reason,
    ]


def _state(value: str) -> Html:
    return tag("span", value, class_=f"state {value}")
