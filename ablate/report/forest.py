"""The forest: every contrast with its interval, against the margin of equivalence."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.markup import Column
from ablate.report.section import Picture
from ablate.report.study_record import StudyRecord
from ablate.report.verdict import LABELS, contrast_title, simultaneous
from ablate.stats.contrast import Contrast


@dataclass(frozen=True)
class ForestFacts:
    """Intervals of one metric, a row for each contrast and context; ``margin`` of equivalence."""

    metric: str
    rows: tuple[Contrast, ...]
    labels: tuple[str, ...]  # of the rows, on a few short lines
    margin: float


def forest_facts(evidence: Evidence, *, metric: str) -> ForestFacts:
    """Intervals of one metric in the order of the page."""
    rows = tuple(c for c in evidence.contrasts if c.metric == metric)
    labels = tuple(_label(evidence.study, contrast) for contrast in rows)
    return ForestFacts(metric, rows, labels, evidence.study.margin.model_dump()[metric])


def forest_figure(facts: ForestFacts) -> go.Figure:
    """A row for each contrast and context: point, 95 % interval, margin as a band around zero."""
    labels = facts.labels
    traces = []
    for verdict, colour in theme.VERDICT_COLOURS.items():
        rows = [(label, c) for label, c in zip(labels, facts.rows, strict=True) if str(c.verdict) == verdict]
        if not rows:
            continue
        error = {
            "type": "data",
            "symmetric": False,
            "thickness": 2.2,
            "width": 0,
            "array": [c.interval[1] - c.difference for _, c in rows],
            "arrayminus": [c.difference - c.interval[0] for _, c in rows],
        }
        hover = [f"{wording.signed(c.difference)} ({wording.interval(*c.interval, sign=True)})" for _, c in rows]
        traces.append(
            go.Scatter(
                x=[c.difference for _, c in rows],
                y=[label for label, _ in rows],
                name=LABELS[verdict],
                mode="markers",
                error_x=error,
                marker={"size": 10, "color": colour, "symbol": _SYMBOLS[verdict]},
                customdata=hover,
                hovertemplate="%{y}<br>%{customdata}<extra>" + verdict + "</extra>",
            )
        )
    places = _places(facts.rows, labels)
    n_lines = max((label.count(_BREAK) + 1 for label in labels), default=1)
    height = 100 + (11 + 16 * n_lines) * len(places)
    drawn = theme.figure(
        traces, height=height, x=f"difference in macro {wording.METRIC_NAMES[facts.metric]}", showlegend=True
    )
    drawn.update_yaxes(**theme.category(places, autorange="reversed", showgrid=False, tickvals=labels))
    drawn.update_xaxes(zeroline=True, zerolinewidth=1.5, zerolinecolor="rgba(127,137,150,0.75)")
    return drawn.add_vrect(
        x0=-facts.margin, x1=facts.margin, fillcolor="rgba(127,137,150,0.13)", line_width=0, layer="below"
    )


_SYMBOLS = {
    "supported": "circle",
    "refuted": "diamond",
    "equivalent": "square",
    "not_established": "circle-open",
    "not_tested": "circle-open-dot",
}


def _label(study: StudyRecord, contrast: Contrast) -> str:
    """The contrast by the titles of what it compares, and its context where there are several."""
    declared = next(one for one in study.contrasts if one.name == contrast.name)
    title = contrast_title(study, declared)
    where = f", {wording.share_text(Context.of(contrast.context))}" if len(study.contexts) > 1 else ""
    return _BREAK.join(textwrap.wrap((title + where).replace(" %", "\u00a0%"), _LINE))


_BREAK, _LINE = "<br>", 27  # letters of a line, so that a phone has room for the intervals


def _places(rows: Sequence[Contrast], labels: Sequence[str]) -> list[str]:
    """Labels with an empty place between two contexts."""
    places: list[str] = []
    for k, label in enumerate(labels):
        if k and rows[k].context != rows[k - 1].context:
            places.append(" " * k)
        places.append(label)
    return places


def forest_pictures(evidence: Evidence) -> list[Picture]:
    """The forests of both metrics."""
    facts = [forest_facts(evidence, metric=metric) for metric in wording.METRIC_NAMES]
    return [_forest_picture(one) for one in facts if one.rows]


def _forest_picture(facts: ForestFacts) -> Picture:
    name = f"Macro {wording.METRIC_NAMES[facts.metric]}"
    described = "; ".join(
        f"{label.replace(_BREAK, ' ')} {wording.signed(c.difference)} "
        f"({wording.interval(*c.interval, sign=True)}), {LABELS[c.verdict]}"
        for label, c in zip(facts.labels, facts.rows, strict=True)
    )
    note = f"Bars: 95 % for all contrasts of a family together. Band: the margin of equivalence, ±{facts.margin:g}."
    if any(not c.is_tested for c in facts.rows):
        note += " Where nothing is tested, a bar is 95 % for its contrast alone."
    columns = [
        Column("contrast"),
        Column("data", wording.share_text),
        Column("difference", wording.signed, True),
        Column("simultaneous 95 % interval", number=True),
        Column("verdict"),
    ]
    rows = [(c.name, Context.of(c.context), c.difference, simultaneous(c), LABELS[c.verdict]) for c in facts.rows]
    return Picture(
        f"forest-{facts.metric}",
        name,
        f"{name}, differences on the test fold: {described}.",
        forest_figure(facts),
        columns,
        rows,
        note=note,
    )
