"""The search as it went: best so far, and the trade between both objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.context import Context
from ablate.report.markup import Column
from ablate.report.section import Picture
from ablate.report.study_record import StudyRecord


@dataclass(frozen=True)
class SearchTrial:
    """One finished search trial."""

    key: str
    arm: str
    index: int
    score: float
    other: float  # the second objective
    params: Mapping[str, Any]
    place: int  # among the finished trials of its arm, from 1


@dataclass(frozen=True)
class SearchFacts:
    """Finished search trials of one context.

    Attributes:
        column: the score that the search maximises; ``other`` the second objective.
        params: those that vary, in the order of the study file.
        trials: those that ran to their end.
        stopped: those that were stopped early, with the scores of a shorter training.
        best: arm -> best score up to each of its trials.
        front: keys of the trials that no other beats in both objectives.
    """

    context: Context
    column: str
    other: str
    arms: tuple[str, ...]
    baseline: str | None
    params: tuple[str, ...]
    trials: tuple[SearchTrial, ...]
    stopped: tuple[SearchTrial, ...]
    best: Mapping[str, tuple[float, ...]]
    front: tuple[str, ...]


def search_facts(study: StudyRecord, *, context: Context) -> SearchFacts:
    """Search trials of a context in their order."""
    column = study.spec.objectives.select
    other = "val_auprc" if column == "val_auroc" else "val_auroc"
    done = study.finished("search", with_stopped=True)
    done = done[(done["context"] == context) & done[column].notna()].sort_values(["index", "slot_id"])
    done["place"] = done.groupby("arm").cumcount() + 1
    is_whole = done["stopped_epoch"].isna()
    names = study.free_params(done[is_whole])
    values = study.tables.params.reindex(done.index)[names].to_dict("records")
    every = [
        SearchTrial(
            str(row.key), str(row.arm), int(row.index_), float(row.score), float(row.other), params, int(row.place)
        )
        for row, params in zip(_renamed(done, column, other).itertuples(), values, strict=True)
    ]
    trials = tuple(trial for trial, whole in zip(every, is_whole, strict=True) if whole)
    stopped = tuple(trial for trial, whole in zip(every, is_whole, strict=True) if not whole)
    arms = tuple(arm for arm in study.arms if any(t.arm == arm for t in trials))
    best = {arm: tuple(np.maximum.accumulate([t.score for t in trials if t.arm == arm]).tolist()) for arm in arms}
    return SearchFacts(
        context, column, other, arms, study.baseline, tuple(names), trials, stopped, best, pareto_front(trials)
    )


def _renamed(done: pd.DataFrame, column: str, other: str) -> pd.DataFrame:
    shown = done[["key", "arm", "index", column, other, "place"]]
    return shown.set_axis(["key", "arm", "index_", "score", "other", "place"], axis=1)


def pareto_front(trials: Sequence[SearchTrial]) -> tuple[str, ...]:
    """Trials that no other beats in both objectives, by falling first objective."""
    front, highest = [], -np.inf
    for trial in sorted(trials, key=lambda t: (-t.score, -t.other, t.key)):
        if trial.other > highest:
            front.append(trial.key)
            highest = trial.other
    return tuple(front)


def history_figure(facts: SearchFacts) -> go.Figure:
    """Each trial as a dot, hollow where it was stopped early; the best so far of its arm as a step line."""
    colours, symbols = theme.arm_colours(facts.arms, baseline=facts.baseline), theme.arm_symbols(facts.arms)
    traces: list[go.Scatter] = []
    for arm in facts.arms:
        trials = [t for t in facts.trials if t.arm == arm]
        order = [t.place for t in trials]
        dots = {"size": 6, "color": colours[arm], "symbol": symbols[arm], "opacity": 0.55}
        line = {"color": colours[arm], "width": 2, "shape": "hv"}
        hover = f"{arm}, trial %{{x}}: %{{y:.4f}}<extra></extra>"
        values = [t.score for t in trials]
        traces.append(
            go.Scatter(
                x=order, y=values, mode="markers", marker=dots, legendgroup=arm, showlegend=False, hovertemplate=hover
            )
        )
        traces.append(
            go.Scatter(x=order, y=facts.best[arm], mode="lines", line=line, name=arm, legendgroup=arm, hoverinfo="skip")
        )
        traces += _stopped_dots(facts, arm, colours[arm], symbols[arm])
    return theme.figure(
        traces, height=320, x="search trial of the arm", y=wording.metric_name(facts.column), showlegend=True
    )


def _stopped_dots(facts: SearchFacts, arm: str, colour: str, symbol: str) -> list[go.Scatter]:
    trials = [t for t in facts.stopped if t.arm == arm]
    dots = go.Scatter(
        x=[t.place for t in trials],
        y=[t.score for t in trials],
        mode="markers",
        marker={"size": 6, "color": colour, "symbol": f"{symbol}-open", "opacity": 0.55},
        legendgroup=arm,
        showlegend=False,
        hovertemplate=f"{arm}, trial %{{x}}, stopped early: %{{y:.4f}}<extra></extra>",
    )
    return [dots] if trials else []


def pareto_figure(facts: SearchFacts) -> go.Figure:
    """Both objectives of every trial; the line joins those that no other beats in both."""
    colours, symbols = theme.arm_colours(facts.arms, baseline=facts.baseline), theme.arm_symbols(facts.arms)
    by_key = {t.key: t for t in facts.trials}
    front = [by_key[key] for key in facts.front]
    line = {"color": "rgba(127,137,150,0.7)", "width": 1.5, "dash": "dot"}
    traces = [
        go.Scatter(
            x=[t.score for t in front],
            y=[t.other for t in front],
            mode="lines",
            line=line,
            name="front",
            hoverinfo="skip",
        )
    ]
    for arm in facts.arms:
        trials = [t for t in facts.trials if t.arm == arm]
        marker = {
            "size": [10 if t.key in facts.front else 7 for t in trials],
            "color": colours[arm],
            "symbol": symbols[arm],
            "opacity": [1.0 if t.key in facts.front else 0.45 for t in trials],
            "line": {"width": 0},
        }
        traces.append(
            go.Scatter(
                x=[t.score for t in trials],
                y=[t.other for t in trials],
                mode="markers",
                marker=marker,
                name=arm,
                customdata=[t.key for t in trials],
                hovertemplate="%{customdata}<br>%{x:.4f}, %{y:.4f}<extra></extra>",
            )
        )
    return theme.figure(traces, height=340, x=wording.metric_name(facts.column), y=wording.metric_name(facts.other))


def history_picture(facts: SearchFacts, k: int) -> Picture:
    """The history with its words; ``k`` numbers the context."""
    best = ", ".join(f"{arm} {values[-1]:.4f}" for arm, values in facts.best.items())
    name = wording.metric_name(facts.column)
    alt = f"Search history of {len(facts.trials)} trials; best {name} so far: {best}."
    columns = [Column("arm"), Column("trials", number=True), Column("best", wording.number, True)]
    rows = [(arm, len(values), values[-1]) for arm, values in facts.best.items()]
    note = "Hollow: stopped early, with the score so far." if facts.stopped else None
    return Picture(f"history-{k}", "History", alt, history_figure(facts), columns, rows, note=note)


def pareto_picture(facts: SearchFacts, k: int) -> Picture:
    """The trade between both objectives with its words."""
    by_key = {t.key: t for t in facts.trials}
    names = [wording.metric_name(name) for name in (facts.column, facts.other)]
    columns = [Column("trial"), *(Column(name, wording.number, True) for name in names)]
    rows = [(key, by_key[key].score, by_key[key].other) for key in facts.front]
    alt = f"{names[0]} against {names[1]} of every search trial; {len(rows)} trials form the front."
    return Picture(f"pareto-{k}", "Both objectives", alt, pareto_figure(facts), columns, rows)
