"""How figures look: transparent grounds and middle tones that read on white, on black and on paper."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

FONT = (
    "-apple-system, BlinkMacSystemFont, Segoe UI, Roboto, Helvetica Neue, Noto Sans, Liberation Sans, Arial, sans-serif"
)
INK = "#6e7781"
FAINT = "rgba(127,137,150,0.22)"
BASELINE = "#7d8794"
COLOURS = ("#2178c4", "#d9822b", "#1b9a72", "#b8509b", "#c8452f", "#7a6fd0", "#97783c", "#3aa3b0")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "hexagon")
VERDICT_COLOURS = {
    "supported": "#1b8a64",
    "refuted": "#c8452f",
    "equivalent": "#2178c4",
    "not_established": "#8a8f98",
    "not_tested": "#8a8f98",
}
SMALL_MARGIN = {"l": 44, "r": 12, "t": 6, "b": 32}
SHADES = [[0.0, "rgba(33,120,196,0.05)"], [1.0, "rgba(33,120,196,0.72)"]]


def figure(
    traces: Sequence[Any], *, height: int, x: str | None = None, y: str | None = None, **layout: Any
) -> go.Figure:
    """A figure in the house style, ``height`` in pixels, as wide as its place."""
    look: dict[str, Any] = {
        "template": "none",
        "height": height,
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": INK},
        "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
        "hovermode": "closest",
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left"},
        "xaxis": axis(x),
        "yaxis": axis(y),
    }
    return go.Figure(data=list(traces), layout=look | layout)


def axis(title: str | None = None) -> dict[str, Any]:
    """Faint grid, no box, room for its labels."""
    look: dict[str, Any] = {
        "gridcolor": FAINT,
        "zerolinecolor": FAINT,
        "linecolor": FAINT,
        "automargin": True,
        "ticks": "",
    }
    return look | ({"title": {"text": title, "standoff": 8, "font": {"size": 13}}} if title else {})


def scale(title: str | None, values: Sequence[Any]) -> dict[str, Any]:
    """An axis that fits ``values``: logarithmic with plain numbers, categories for words, else linear."""
    kind = scale_type(values)
    look = axis(title) | {"type": kind}
    if kind != "log":
        return look
    positive = [float(value) for value in values if value is not None and value > 0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    steps = (1, 3) if high - low < 2.5 else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(low) - 1, math.ceil(high) + 1) for step in steps]
    return look | {"tickvals": ticks, "ticktext": [f"{tick:g}".replace("e-0", "e-") for tick in ticks]}


def scale_type(values: Sequence[Any]) -> str:
    """Logarithmic where positive numbers span more than a factor of 20, categories for words."""
    finite = [value for value in values if value is not None and value == value]  # noqa: PLR0124 - without NaN
    if any(isinstance(value, str | bool) for value in finite):
        return "category"
    return "log" if finite and min(finite) > 0 and max(finite) > 20 * min(finite) else "linear"


def arm_colours(arms: Sequence[str], *, baseline: str | None) -> Mapping[str, str]:
    """One colour for each arm, grey for the baseline, the same in every figure."""
    others = [arm for arm in arms if arm != baseline]
    colours = {arm: COLOURS[position % len(COLOURS)] for position, arm in enumerate(others)}
    return {arm: BASELINE if arm == baseline else colours[arm] for arm in arms}


def arm_symbols(arms: Sequence[str]) -> Mapping[str, str]:
    """One symbol for each arm, so that no figure speaks by colour alone."""
    return {arm: SYMBOLS[position % len(SYMBOLS)] for position, arm in enumerate(arms)}


def faded(colour: str, alpha: float) -> str:
    """``colour`` (#rrggbb) with ``alpha`` in [0, 1]."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def category(names: Sequence[str], **look: Any) -> dict[str, Any]:
    """An axis of names in the given order."""
    return axis() | {"type": "category", "categoryorder": "array", "categoryarray": list(names)} | look
