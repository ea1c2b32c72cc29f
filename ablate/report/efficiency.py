"""Data efficiency: scores of the arms over shares of the training data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.arm import ArmFacts, ArmScore
from ablate.report.markup import Column
from ablate.report.section import Picture, Section


@dataclass(frozen=True)
class EfficiencyFacts:
    """Score against the share of the training data."""

    column: str
    baseline: str | None
    curves: Mapping[str, tuple[ArmScore, ...]]  # by arm, in the order of the fractions
    fractions: tuple[float, ...]


def efficiency_facts(facts: ArmFacts, *, column: str) -> EfficiencyFacts | None:
    """Curves over data fractions; None with fewer than two of them."""
    fractions = {c: c.data_fraction for c in facts.contexts if c.data_fraction is not None}
    if column not in facts.columns or not 2 <= len(set(fractions.values())) == len(fractions):
        return None
    ordered = sorted(fractions, key=lambda context: fractions[context])
    curves = {arm: tuple(facts.score(arm, context, column) for context in ordered) for arm in facts.arms}
    return EfficiencyFacts(column, facts.baseline, curves, tuple(fractions[context] for context in ordered))


def efficiency_figure(facts: EfficiencyFacts) -> go.Figure:
    """One line an arm with 95 % intervals over seeds, since the patients are the same all over the figure."""
    arms = list(facts.curves)
    colours, symbols = theme.arm_colours(arms, baseline=facts.baseline), theme.arm_symbols(arms)
    traces = []
    for k, arm in enumerate(arms):
        shift = 1.03 ** (k - (len(arms) - 1) / 2)  # so that intervals do not hide one another
        scores = facts.curves[arm]
        spread = [0.0 if math.isnan(s.seed_half) else s.seed_half for s in scores]
        traces.append(
            go.Scatter(
                x=[fraction * shift for fraction in facts.fractions],
                y=[s.mean for s in scores],
                name=arm,
                mode="lines+markers",
                error_y={"type": "data", "array": spread, "thickness": 1.4, "width": 4},
                line={"color": colours[arm], "width": 2},
                marker={"size": 9, "symbol": symbols[arm]},
                hovertemplate=f"{arm}: %{{y:.4f}}<extra></extra>",
            )
        )
    drawn = theme.figure(
        traces, height=360, x="share of the training data", y=f"mean {wording.metric_name(facts.column)}"
    )
    ticks = [f"{100 * fraction:g} %" for fraction in facts.fractions]
    return drawn.update_xaxes(type="log", tickvals=list(facts.fractions), ticktext=ticks)


def efficiency_section(facts: ArmFacts) -> Section | None:
    """Curves over data fractions, for both objectives; None where the study has one fraction."""
    split = "test" if "test_auroc" in facts.columns else "val"
    facts_by_metric = [efficiency_facts(facts, column=f"{split}_{metric}") for metric in wording.METRIC_NAMES]
    pictures = tuple(_efficiency_picture(one) for one in facts_by_metric if one is not None)
    return Section("efficiency", "How far the data goes", pictures) if pictures else None


def _efficiency_picture(facts: EfficiencyFacts) -> Picture:
    columns = [
        Column("arm"),
        Column("share", number=True),
        Column("mean", wording.number, True),
        Column("95 % interval", number=True),
    ]
    rows = [
        (arm, f"{100 * fraction:g} %", s.mean, wording.interval(s.low, s.high))
        for arm, scores in facts.curves.items()
        for fraction, s in zip(facts.fractions, scores, strict=True)
    ]
    name = wording.metric_name(facts.column)
    alt = f"Mean {name} of each arm against the share of the training data; {_alt_best(facts)}"
    return Picture(
        f"efficiency-{facts.column.replace('_', '-')}",
        f"Mean {name}",
        alt,
        efficiency_figure(facts),
        columns,
        rows,
        note="Bars: 95 % over seeds.",
    )


def _alt_best(facts: EfficiencyFacts) -> str:
    parts = []
    for k, fraction in enumerate(facts.fractions):
        means = {arm: scores[k].mean for arm, scores in facts.curves.items() if scores[k].n}
        if means:
            best = max(means, key=lambda arm: means[arm])
            parts.append(f"at {100 * fraction:g} % {best} is highest with {means[best]:.4f}")
    return "; ".join(parts) + "." if parts else "no score yet."
