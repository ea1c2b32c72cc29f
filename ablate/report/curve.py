"""Learning curves: validation score by epoch, the mean over replicates of each arm."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from ablate.outcome import OWN_STAGE
from ablate.report import theme, wording
from ablate.report.context import Context
from ablate.report.markup import Column
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord

STAGES = ("probe", "finetune", OWN_STAGE)


@dataclass(frozen=True)
class CurveFacts:
    """Mean validation score by epoch.

    Attributes:
        epoch: what is counted, in words.
        curves: arm -> (epoch, mean, lowest, highest, trials) in order; probing epochs count below 1 and end at 0.
    """

    context: Context
    column: str
    phase: str
    baseline: str | None
    curves: Mapping[str, tuple[tuple[int, float, float, float, int], ...]]
    epoch: str = "epoch of fine-tuning"


def curve_facts(study: StudyRecord, *, context: Context, column: str) -> CurveFacts:
    """Curves of a context, from the confirmation where it has results, else from the search."""
    phase = "confirm" if len(study.finished("confirm")) else "search"
    done = study.finished(phase)
    done = done[done["context"] == context]
    epochs = _timeline(study.tables.epochs[study.tables.epochs["slot_id"].isin(done.index)], column)
    epochs["arm"] = epochs["slot_id"].map(done["arm"])
    curves: dict[str, tuple[tuple[int, float, float, float, int], ...]] = {}
    for arm in study.arms:
        rows = epochs[epochs["arm"] == arm].groupby("at")[column].agg(["mean", "min", "max", "count"])
        if len(rows):
            curves[arm] = tuple(
                (int(r[0]), float(r[1]), float(r[2]), float(r[3]), int(r[4])) for r in rows.itertuples()
            )
    counted = CurveFacts.epoch if study.spec.routine is None else "epoch"
    return CurveFacts(context, column, phase, study.baseline, curves, counted)


def _timeline(epochs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Epochs with a place in time: fine-tuning from 1 on, probing before it, so that the arms line up."""
    shown = epochs[epochs["stage"].isin(STAGES) & epochs[column].notna()].copy()
    first = shown.groupby(["slot_id", "stage"])["epoch"].transform("min")
    last = shown.groupby(["slot_id", "stage"])["epoch"].transform("max")
    is_probe = shown["stage"] == "probe"
    shown["at"] = (shown["epoch"] - first + 1).where(~is_probe, shown["epoch"] - last)
    return shown


def curve_figure(facts: CurveFacts) -> go.Figure:
    """Lines with bands from the lowest to the highest trial."""
    arms = list(facts.curves)
    colours = theme.arm_colours(arms, baseline=facts.baseline)
    traces = []
    for arm in arms:
        at, mean, low, high, _ = zip(*facts.curves[arm], strict=True)
        band = {
            "x": [*at, *at[::-1]],
            "y": [*high, *low[::-1]],
            "fill": "toself",
            "fillcolor": theme.faded(colours[arm], 0.13),
        }
        traces.append(
            go.Scatter(**band, mode="lines", line={"width": 0}, hoverinfo="skip", legendgroup=arm, showlegend=False)
        )
        traces.append(
            go.Scatter(
                x=at,
                y=mean,
                name=arm,
                legendgroup=arm,
                mode="lines" if len(at) > 1 else "markers",
                line={"color": colours[arm], "width": 2},
                hovertemplate=f"{arm}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
            )
        )
    drawn = theme.figure(traces, height=320, x=facts.epoch, y=wording.metric_name(facts.column), showlegend=True)
    if any(points[0][0] < 1 for points in facts.curves.values()):
        drawn.add_vline(x=0.5, line={"color": "rgba(127,137,150,0.6)", "dash": "dot", "width": 1})
        drawn.add_annotation(
            x=0.5, y=0, yref="paper", text="probing ", showarrow=False, xanchor="right", yanchor="bottom"
        )
    return drawn


def curve_section(study: StudyRecord) -> Section | None:
    """Curves of every context; None before the first epoch."""
    pictures = []
    for k, context in enumerate(study.contexts):
        facts = curve_facts(study, context=context, column="val_auroc")
        if facts.curves:
            pictures.append(_picture(facts, k))
    return Section("curves", "Learning curves", tuple(pictures)) if pictures else None


def _picture(facts: CurveFacts, k: int) -> Picture:
    what = "confirmation replicates" if facts.phase == "confirm" else "search trials"
    ends = "; ".join(f"{arm} ends at {points[-1][1]:.4f}" for arm, points in facts.curves.items())
    columns = [
        Column("arm"),
        Column("epoch", wording.general, True),
        *(Column(name, wording.number, True) for name in ("mean", "lowest", "highest")),
        Column("trials", number=True),
    ]
    rows = [(arm, *point) for arm, points in facts.curves.items() for point in points]
    note = f"Mean over {what}; the band reaches from the lowest to the highest. Trials with fewer epochs end earlier."
    alt = f"Validation AUROC by epoch with {wording.context_text(facts.context)}: {ends}."
    title = wording.context_text(facts.context)
    return Picture(f"curve-{k}", title[:1].upper() + title[1:], alt, curve_figure(facts), columns, rows, note=note)
