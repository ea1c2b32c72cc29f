"""The landscape that was searched: scores over one parameter, and over two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.early_stopping import rung_contents
from ablate.report.markup import Content, paragraph, tag
from ablate.report.search import SearchFacts, history_picture, pareto_picture, search_facts
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord


def slice_figure(facts: SearchFacts, *, param: str) -> go.Figure:
    """The score against one parameter by itself; the legend stands above all slices."""
    colours, symbols = theme.arm_colours(facts.arms, baseline=facts.baseline), theme.arm_symbols(facts.arms)
    dots = []
    for arm in facts.arms:
        trials = [t for t in facts.trials if t.arm == arm and not wording.missing(t.params[param])]
        marker = {"size": 7, "color": colours[arm], "symbol": symbols[arm], "opacity": 0.7}
        dots.append(
            go.Scatter(
                x=[t.params[param] for t in trials],
                y=[t.score for t in trials],
                mode="markers",
                marker=marker,
                name=arm,
                hovertemplate=f"{arm}, {param} %{{x:.3g}}: %{{y:.4f}}<extra></extra>",
            )
        )
    scale = theme.scale(None, [t.params[param] for t in facts.trials])
    return theme.figure(dots, height=220, showlegend=False, xaxis=scale, margin=theme.SMALL_MARGIN)


def contour_figure(facts: SearchFacts, *, x: str, y: str) -> go.Figure | None:
    """The score over two parameters, smoothed between trials; None with fewer than six usable trials."""
    trials = [t for t in facts.trials if _is_number(t.params[x]) and _is_number(t.params[y])]
    if len(trials) < 6:
        return None
    scores = np.array([t.score for t in trials])
    xs, ys = ([t.params[name] for t in trials] for name in (x, y))
    grid_x, grid_y, surface = _smooth(xs, ys, scores)
    colorbar = {
        "title": {"text": wording.metric_name(facts.column), "side": "right", "font": {"size": 13}},
        "thickness": 10,
        "outlinewidth": 0,
    }
    field = go.Contour(
        x=grid_x,
        y=grid_y,
        z=surface,
        colorscale=theme.SHADES,
        colorbar=colorbar,
        contours={"coloring": "heatmap"},
        line={"width": 0.6, "color": "rgba(127,137,150,0.5)"},
        hovertemplate=f"{x} %{{x:.3g}}, {y} %{{y:.3g}}: %{{z:.4f}}<extra></extra>",
    )
    marker = {"size": 6, "color": theme.COLOURS[1], "line": {"width": 1, "color": "rgba(255,255,255,0.8)"}}
    dots = go.Scatter(
        x=xs,
        y=ys,
        mode="markers",
        marker=marker,
        customdata=[[t.key, t.score] for t in trials],
        hovertemplate="%{customdata[0]}: %{customdata[1]:.4f}<extra></extra>",
    )
    drawn = theme.figure([field, dots], height=360, x=x, y=y, showlegend=False)
    return drawn.update_xaxes(**theme.scale(x, xs)).update_yaxes(**theme.scale(y, ys))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not wording.missing(value)


def _smooth(
    xs: Sequence[float], ys: Sequence[float], scores: np.ndarray
) -> tuple[list[float], list[float], list[list[float]]]:
    """A Gaussian-weighted mean of the trials on a grid; the width is a fifth of each parameter's span."""
    scaled, grids = [], []
    for values in (xs, ys):
        to, back = (np.log, np.exp) if theme.scale_type(values) == "log" else (np.asarray, np.asarray)
        moved = to(np.asarray(values, float))
        low, span = moved.min(), max(float(np.ptp(moved)), 1e-12)
        scaled.append((moved - low) / span)
        grids.append(back(low + span * np.linspace(0, 1, 25)))
    steps = np.linspace(0, 1, 25)
    apart_x = (steps[:, None] - scaled[0]) ** 2
    apart_y = (steps[:, None] - scaled[1]) ** 2
    weights = np.exp(-(apart_y[:, None, :] + apart_x[None, :, :]) / (2 * 0.2**2))
    surface = (weights @ scores) / weights.sum(axis=2)
    return grids[0].tolist(), grids[1].tolist(), surface.tolist()


def search_section(study: StudyRecord, *, leading: Sequence[str] = ()) -> Section:
    """History, trade-off, slices and the contour of the two ``leading`` parameters, for every context."""
    body: list[Content] = []
    contexts = study.contexts
    for k, context in enumerate(contexts):
        facts = search_facts(study, context=context)
        if not facts.trials:
            continue
        if len(contexts) > 1:
            body.append(tag("h3", wording.context_text(context)[:1].upper() + wording.context_text(context)[1:]))
        body += [
            history_picture(facts, k),
            pareto_picture(facts, k),
            *_slices(facts, k),
            *_contour(facts, k, leading),
        ]
    body += rung_contents(study) if body else [paragraph("No search trial is finished yet.")]
    return Section("search", "The search", tuple(body))


def _slices(facts: SearchFacts, k: int) -> list[Content | Picture]:
    if not facts.params:
        return []
    colours = theme.arm_colours(facts.arms, baseline=facts.baseline)
    keys = [tag("span", tag("span", "● ", style=f"color:{colours[arm]}"), arm, class_="key") for arm in facts.arms]
    name = wording.metric_name(facts.column)
    legend = paragraph(
        f"{name[:1].upper()}{name[1:]} against one parameter at a time. ",
        keys if len(keys) > 1 else None,
        class_="note",
    )
    pictures = [
        Picture(
            f"slice-{k}-{n}",
            param,
            f"{name} of every trial against {param}; the numbers are in the table of every trial.",
            slice_figure(facts, param=param),
            small=True,
        )
        for n, param in enumerate(facts.params)
    ]
    return [tag("h4", "Slices"), legend, *pictures]


def _contour(facts: SearchFacts, k: int, leading: Sequence[str]) -> list[Picture]:
    """The two ``leading`` parameters that vary here, or the first two."""
    numeric = [name for name in facts.params if any(_is_number(t.params[name]) for t in facts.trials)]
    pair = [name for name in (*leading, *numeric) if name in numeric]
    pair = list(dict.fromkeys(pair))[:2]
    drawn = contour_figure(facts, x=pair[0], y=pair[1]) if len(pair) == 2 else None
    if drawn is None:
        return []
    alt = f"Smoothed score over {pair[0]} and {pair[1]}, with the trials as dots."
    note = "Smoothed between the trials (Gaussian weights); where there are no dots it is a guess."
    return [Picture(f"contour-{k}", f"Contour: {pair[0]} and {pair[1]}", alt, drawn, note=note, wide=True)]
