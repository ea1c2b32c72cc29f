"""One record on ECG paper: 25 mm a second, 10 mm a millivolt, a line each millimetre, a bold one each fifth."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ablate import atomic
from ablate.ecg.source import LEADS, Records, Source
from ablate.errors import DataError

if TYPE_CHECKING:
    import plotly.graph_objects as go

MM_PER_S, MM_PER_MV = 25.0, 10.0
COLUMN_S = 2.5
ROW_MV = 3.0  # distance between the zero lines of two rows

_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_RHYTHM_LEAD = "II"
_PIXELS_PER_MM = 4.0
_INK, _FINE, _BOLD = "#1a1a1a", "#f7d4d4", "#eba3a3"


@dataclass(frozen=True)
class Strip:
    """A stretch of one lead and where it stands on the paper; ``y_mv`` includes the row's zero line."""

    lead: str
    x_s: Float[np.ndarray, "sample"]
    y_mv: Float[np.ndarray, "sample"]


@dataclass(frozen=True)
class PlotFacts:
    """A record as it goes on paper: three rows of four leads, 2.5 s each, and ten seconds of lead II below."""

    title: str
    strips: tuple[Strip, ...]
    duration_s: float
    low_mv: float
    high_mv: float


def plot_facts(source: Source, records: Records, *, ecg_id: int, fs_hz: int = 100) -> PlotFacts:
    """Read one record and lay it out.

    Raises:
        DataError: there is no such record, or it is damaged.
    """
    rows = np.flatnonzero(records.ecg_id == ecg_id)
    if not len(rows):
        raise DataError(f"{source.name}: there is no record {ecg_id}; identifiers go up to {records.ecg_id.max()}")
    rate = source.stored_hz(fs_hz)
    signal = source.read(ecg_id, rate)
    given = [code for code, has in zip(records.codes, records.statements[rows[0]], strict=True) if has]
    strips = _strips(signal, rate)
    return PlotFacts(
        title=f"{source.name} {ecg_id}, {rate} Hz, fold {records.fold[rows[0]]}: {' '.join(given)}",
        strips=strips,
        duration_s=signal.shape[1] / rate,
        low_mv=min(float(strip.y_mv.min()) for strip in strips) - 0.5,
        high_mv=max(float(strip.y_mv.max()) for strip in strips) + 0.5,
    )


def _strips(signal: Float[np.ndarray, "lead sample"], fs_hz: int) -> tuple[Strip, ...]:
    n_column = int(COLUMN_S * fs_hz)
    x_s = np.arange(signal.shape[1]) / fs_hz
    strips = []
    for row, leads in enumerate(_ROWS):
        for column, lead in enumerate(leads):
            part = slice(column * n_column, (column + 1) * n_column)
            strips.append(Strip(lead, x_s[part], signal[LEADS.index(lead), part] - row * ROW_MV))
    strips.append(Strip(_RHYTHM_LEAD, x_s, signal[LEADS.index(_RHYTHM_LEAD)] - len(_ROWS) * ROW_MV))
    return tuple(strips)


def plot_figure(facts: PlotFacts) -> "go.Figure":
    """The record on its grid; both axes are in proportion, so that a square of the grid is a square."""
    import plotly.graph_objects as go  # noqa: PLC0415  (slow to import, and only plotting needs it)

    figure = go.Figure()
    for strip in facts.strips:
        label = f"{strip.lead}: %{{x:.2f}} s<extra></extra>"
        # Evenly spaced, and to a tenth of a millimetre: four records must not make a page much larger.
        x0, dx = float(strip.x_s[0]), float(strip.x_s[1] - strip.x_s[0])
        y_mv = strip.y_mv.round(2).tolist()
        figure.add_scatter(x0=x0, dx=dx, y=y_mv, mode="lines", line={"color": _INK, "width": 1.1}, hovertemplate=label)
        figure.add_annotation(
            x=strip.x_s[0], y=float(np.median(strip.y_mv)) + 1.0, text=strip.lead, showarrow=False, xanchor="left"
        )
    grid = {"showgrid": True, "gridcolor": _BOLD, "zeroline": False, "showticklabels": False}
    fine = {"showgrid": True, "gridcolor": _FINE}
    figure.update_xaxes(
        range=[0, facts.duration_s],
        dtick=5 / MM_PER_S,
        minor={**fine, "dtick": 1 / MM_PER_S},
        constrain="domain",
        **grid,
    )
    figure.update_yaxes(
        range=[facts.low_mv, facts.high_mv], dtick=5 / MM_PER_MV, minor={**fine, "dtick": 1 / MM_PER_MV},
        scaleanchor="x", scaleratio=MM_PER_MV / MM_PER_S, constrain="domain", **grid,
    )  # fmt: skip
    height = (facts.high_mv - facts.low_mv) * MM_PER_MV * _PIXELS_PER_MM
    return figure.update_layout(
        title={"text": facts.title, "font": {"size": 14}}, showlegend=False, plot_bgcolor="#fffafa",
        width=facts.duration_s * MM_PER_S * _PIXELS_PER_MM + 40, height=height + 80,
        margin={"l": 20, "r": 20, "t": 50, "b": 30},
    )  # fmt: skip


def write_figure(figure: "go.Figure", file: Path) -> None:
    """Write the figure as a page that opens offline (.html) or, where kaleido is installed, as a picture (.png, .svg).

    Raises:
        DataError: the suffix is another one, kaleido is missing, or the file cannot be written.
    """
    if file.suffix == ".html":
        page = figure.to_html(include_plotlyjs=True, full_html=True)
        atomic.write_text(file, page)
        return
    if file.suffix not in (".png", ".svg"):
        raise DataError(
            f"{file}: suffix {file.suffix!r} is not possible; write to a file that ends in .html, .png or .svg"
        )
    try:
        content = figure.to_image(format=file.suffix[1:])
    except (ValueError, ImportError, RuntimeError) as error:
        raise DataError(
            f"{file}: pictures need kaleido and Chrome; write to {file.with_suffix('.html')} instead"
        ) from error
    atomic.write_bytes(file, content)
