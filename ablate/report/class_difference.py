"""Differences class by class: exploratory, since no hypothesis was declared for a single class."""

import math
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.context import Context
from ablate.report.markup import Column, paragraph
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord


@dataclass(frozen=True)
class ClassDifference:
    """Mean over blocks of arm minus baseline for one class; ``sd`` between blocks is NaN with one block."""

    class_name: str
    contrast: str
    n: int
    difference: float
    sd: float


@dataclass(frozen=True)
class ClassFacts:
    """Differences of every declared contrast in one context, classes by falling difference of the first contrast."""

    context: Context
    split: str
    contrasts: tuple[str, ...]
    classes: tuple[str, ...]
    differences: tuple[ClassDifference, ...]
    without_score: tuple[str, ...]


def class_facts(study: StudyRecord, *, context: Context) -> ClassFacts:
    """Per-class AUROC differences, on the test fold where it was scored, else on validation."""
    done = study.finished("confirm")
    done = done[done["context"] == context]
    scores = study.tables.class_scores[study.tables.class_scores["slot_id"].isin(done.index)]
    split = "test" if (scores["split"] == "test").any() else "val"
    scores = scores[scores["split"] == split]
    wide = scores.pivot_table(index="slot_id", columns="class_name", values="auroc", dropna=False)
    differences: list[ClassDifference] = []
    for contrast in study.contrasts:
        differences += _differences(contrast.name, _blocks(wide, done, contrast.weights()))
    scored = {d.class_name for d in differences}
    first = {d.class_name: d.difference for d in differences if d.contrast == study.contrasts[0].name}
    classes = tuple(sorted(scored, key=lambda c: (-first.get(c, -math.inf), c)))
    every = {str(name) for name in scores["class_name"]}
    contrasts = tuple(dict.fromkeys(d.contrast for d in differences))
    return ClassFacts(context, split, contrasts, classes, tuple(differences), tuple(sorted(every - scored)))


def _blocks(wide: pd.DataFrame, done: pd.DataFrame, weights: dict[str, float]) -> pd.DataFrame:
    """A row for each block that has every arm of the contrast."""
    total: pd.DataFrame | None = None
    for arm, weight in weights.items():
        rows = done[done["arm"] == arm]
        scores = wide.reindex(rows.index).set_axis(rows["index"].to_numpy(), axis=0) * weight
        total = scores if total is None else total.add(scores).dropna(how="all")
    return pd.DataFrame() if total is None else total


def _differences(contrast: str, blocks: pd.DataFrame) -> list[ClassDifference]:
    by_class = {str(name): blocks[name].dropna() for name in blocks}
    return [
        ClassDifference(name, contrast, len(values), float(values.mean()), float(values.std(ddof=1)))
        for name, values in by_class.items()
        if len(values)
    ]


def class_figure(facts: ClassFacts) -> go.Figure:
    """A row for each class; the first contrast is shown, the others on a click in the legend."""
    traces = []
    for k, contrast in enumerate(facts.contrasts):
        by_class = {d.class_name: d for d in facts.differences if d.contrast == contrast}
        rows = [by_class[name] for name in facts.classes if name in by_class]
        spread = [0.0 if math.isnan(d.sd) else d.sd for d in rows]
        colour = theme.COLOURS[k % len(theme.COLOURS)]
        traces.append(
            go.Scatter(
                x=[d.difference for d in rows],
                y=[d.class_name for d in rows],
                name=contrast,
                mode="markers",
                marker={"size": 8, "color": colour, "symbol": theme.SYMBOLS[k % len(theme.SYMBOLS)]},
                error_x={
                    "type": "data",
                    "array": spread,
                    "thickness": 1.2,
                    "width": 0,
                    "color": theme.faded(colour, 0.5),
                },
                visible=True if k == 0 else "legendonly",
                hovertemplate="%{y}: %{x:+.4f}<extra></extra>",
            )
        )
    height = 120 + 20 * len(facts.classes)
    drawn = theme.figure(traces, height=height, x="difference in AUROC, bars ± sd of blocks", showlegend=True)
    drawn.update_xaxes(zeroline=True, zerolinewidth=1.5, zerolinecolor="rgba(127,137,150,0.7)")
    return drawn.update_yaxes(**theme.category(list(facts.classes), autorange="reversed"))


def class_section(study: StudyRecord) -> Section | None:
    """One picture for each context; None without scored classes or contrasts."""
    facts = [class_facts(study, context=context) for context in study.contexts]
    pictures = [_picture(one, k) for k, one in enumerate(facts) if one.differences]
    if not pictures:
        return None
    silent = sorted({name for one in facts for name in one.without_score})
    note = "Exploratory: no correction for the number of classes. Other contrasts: click in the legend."
    without = f" Without a score, for want of both outcomes: {wording.listing(silent, most=80)}." if silent else ""
    return Section("classes", "Differences by class", (paragraph(note + without, class_="note"), *pictures))


def _picture(facts: ClassFacts, k: int) -> Picture:
    title = wording.context_text(facts.context)
    columns = [
        Column("class"),
        Column("contrast"),
        Column("blocks", number=True),
        Column("difference", wording.signed, True),
        Column("sd of blocks", wording.number, True),
    ]
    rows = [(d.class_name, d.contrast, d.n, d.difference, d.sd) for d in facts.differences]
    alt = f"Difference in {facts.split} AUROC of {len(facts.classes)} classes for {facts.contrasts[0]} with {title}."
    return Picture(f"classes-{k}", title[:1].upper() + title[1:], alt, class_figure(facts), columns, rows)
