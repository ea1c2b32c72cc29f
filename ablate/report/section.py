"""A part of the page: words, tables and pictures under one heading.

To add a section write a module in ``ablate/report`` whose ``*_facts`` takes figures from the study and whose
``*_section`` makes a ``Section`` of them, and name it in ``page_sections`` in ``report/page.py``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import plotly.graph_objects as go

from ablate.report.markup import Column, Content, Html, details, markup, table, tag


@dataclass(frozen=True)
class Picture:
    """A figure with what stands beside it for those who cannot see it.

    Attributes:
        name: unique on the page, letters, digits and dashes only; the same for the same study.
        alt: what the figure shows, in one sentence.
        columns: of the table behind the figure.
        rows: of that table.
        wide: takes the whole width also where two figures would fit side by side.
        small: one of several that stand together, three or more in a row where there is room.
    """

    name: str
    title: str
    alt: str
    figure: go.Figure
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[Any]] = ()
    note: Content = None
    wide: bool = False
    small: bool = False

    def titled(self) -> go.Figure:
        """The figure for where nothing stands beside it: with its title above it, as wide and high as its place."""
        figure = go.Figure(self.figure)
        above = 70 if figure.layout.showlegend else 50
        return figure.update_layout(title={"text": self.title, "y": 0.98, "yanchor": "top"}, margin={"t": above})


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in order."""

    name: str
    title: str
    body: tuple[Content | Picture, ...]


def render(section: Section) -> Html:
    """The section's markup; neighbouring pictures share a grid."""
    heading = tag("h2", section.title, id=f"{section.name}-title")
    return tag("section", heading, parts(section.body), id=section.name, aria_labelledby=f"{section.name}-title")


def parts(body: Sequence[Content | Picture]) -> Html:
    """Contents in order, neighbouring pictures of one size in a grid."""
    return Html("".join(_together(kind, list(group)) for kind, group in groupby(body, key=_kind)))


def _kind(part: Content | Picture) -> str:
    if not isinstance(part, Picture):
        return ""
    return "grid small" if part.small else "grid"


def _together(kind: str, group: list[Any]) -> Html:
    return tag("div", [picture(part) for part in group], class_=kind) if kind else markup(group)


def picture(part: Picture) -> Html:
    """A figure: drawn by the page's script from the JSON beside it when it comes into view."""
    height = int(part.figure.layout.height)
    place = tag("div", class_="plot", id=part.name, role="img", aria_label=part.alt, style=f"height:{height}px")
    source = tag(
        "script", Html(script_json(part.figure.to_plotly_json())), type="application/json", data_plot=part.name
    )
    data = details("Data of this figure", table(part.columns, part.rows, label=part.title)) if part.rows else None
    caption = tag("figcaption", tag("strong", part.title), tag("span", part.note, class_="note") if part.note else None)
    return tag("figure", caption, place, source, data, class_="all" if part.wide else None)


def script_json(value: Any) -> str:
    """``value`` as JSON that cannot end the script element it stands in.

    Not-a-number becomes null: plotly leaves a gap there.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.7g}") if value - value == 0 else None
    return value
