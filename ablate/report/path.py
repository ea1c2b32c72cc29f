"""The ablation path: from baseline to whole and back, one component at a time, every step trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.arm import ArmFacts
from ablate.report.context import Context
from ablate.report.markup import Column, paragraph
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord
from ablate.study.ablation_path import Step, walk
from ablate.study.design import BASELINE


@dataclass(frozen=True)
class PathFacts:
    """Both directions in one context; ``start`` is the score before the first step."""

    context: Context
    column: str
    start: Mapping[str, float]  # by direction
    steps: Mapping[str, tuple[Step, ...]]


def path_facts(study: StudyRecord, arms: ArmFacts, *, context: Context, column: str) -> PathFacts | None:
    """The greedy path through mean scores; None for another design, or while an arm of it has no score."""
    design = study.spec.design
    if design is None or design.kind != "path" or column not in arms.columns:
        return None
    means = {arm: arms.score(arm, context, column).mean for arm in arms.arms}
    if any(math.isnan(mean) for mean in means.values()):
        return None
    components = list(design.components)
    steps = {name: walk(components, means.__getitem__, forward=name == "forward") for name in ("forward", "backward")}
    whole = steps["forward"][-1].arm
    return PathFacts(context, column, {"forward": means[BASELINE], "backward": means[whole]}, steps)


def path_figure(facts: PathFacts) -> go.Figure:
    """One line for each direction, from left to right in the order of its steps."""
    traces = []
    for k, (direction, steps) in enumerate(facts.steps.items()):
        sign = "+" if direction == "forward" else "−"
        names = ["start", *(f"{sign} {step.component}" for step in steps)]
        scores = [facts.start[direction], *(step.score for step in steps)]
        traces.append(
            go.Scatter(
                x=list(range(len(names))),
                y=scores,
                text=names,
                name=direction,
                mode="lines+markers+text",
                textposition="top center" if direction == "forward" else "bottom center",
                line={"color": theme.COLOURS[k], "width": 2},
                marker={"size": 9, "symbol": theme.SYMBOLS[k]},
                hovertemplate="%{text}: %{y:.4f}<extra></extra>",
                cliponaxis=False,
            )
        )
    drawn = theme.figure(traces, height=340, x="step", y=f"mean {wording.metric_name(facts.column)}", showlegend=True)
    return drawn.update_xaxes(tickvals=list(range(len(facts.steps["forward"]) + 1)))


def path_section(study: StudyRecord, arms: ArmFacts) -> Section | None:
    """Paths of both objectives in every context; None for another design."""
    split = "test" if "test_auroc" in arms.columns else "val"
    paths = [
        path_facts(study, arms, context=context, column=f"{split}_{metric}")
        for context in arms.contexts
        for metric in wording.METRIC_NAMES
    ]
    pictures = [_picture(facts, k) for k, facts in enumerate(paths) if facts is not None]
    note = (
        "Forward adds at each step the component that helps most, backward takes away the one that costs least. "
        "The order follows mean scores and is exploratory: it was chosen on the scores it is drawn with."
    )
    return Section("path", "The ablation path", (paragraph(note, class_="note"), *pictures)) if pictures else None


def _picture(facts: PathFacts, k: int) -> Picture:
    columns = [
        Column("direction"),
        Column("component"),
        Column("leads to"),
        Column("score", wording.number, True),
        Column("change", wording.signed, True),
    ]
    rows = [
        (way, step.component, step.arm, step.score, step.change) for way, steps in facts.steps.items() for step in steps
    ]
    title = f"{wording.metric_name(facts.column)}, {wording.context_text(facts.context)}"
    described = "; ".join(f"{way}: {', '.join(step.component for step in steps)}" for way, steps in facts.steps.items())
    return Picture(
        f"path-{k}", title[:1].upper() + title[1:], f"Ablation path, {described}.", path_figure(facts), columns, rows
    )
