"""Blocks: every replicate of every arm, joined by what it shares with the other arms."""

import math
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.context import Context
from ablate.report.markup import Column
from ablate.report.section import Picture
from ablate.report.study_record import StudyRecord


@dataclass(frozen=True)
class BlockFacts:
    """One score of every replicate: arms across, a line for each block."""

    context: Context
    column: str
    arms: tuple[str, ...]
    baseline: str | None
    blocks: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]  # by block, then arm; NaN where the slot is not done


def block_facts(study: StudyRecord, *, context: Context, column: str) -> BlockFacts:
    """Replicates of a context side by side."""
    done = study.finished("confirm")
    done = done[done["context"] == context]
    arms = [arm for arm in study.arms if (done["arm"] == arm).any()]
    wide = done.pivot_table(index="index", columns="arm", values=column, aggfunc="first").reindex(columns=arms)
    rows = tuple(tuple(float(value) for value in row) for row in wide.to_numpy(float))
    return BlockFacts(context, column, tuple(arms), study.baseline, tuple(int(i) for i in wide.index), rows)


def block_figure(facts: BlockFacts) -> go.Figure:
    """Paired dots: a grey line joins what one block gave in each arm; the bar is the mean."""
    arms = list(facts.arms)
    lines = _block_lines(facts)
    colours, symbols = theme.arm_colours(arms, baseline=facts.baseline), theme.arm_symbols(arms)
    values = np.array(facts.values, dtype=float).reshape(len(facts.blocks), len(arms))
    dots = [
        go.Scatter(
            x=[arm] * len(facts.blocks),
            y=values[:, k].tolist(),
            name=arm,
            mode="markers",
            customdata=list(facts.blocks),
            marker={"size": 9, "color": colours[arm], "symbol": symbols[arm], "opacity": 0.85},
            hovertemplate="%{x}, block %{customdata}: %{y:.4f}<extra></extra>",
        )
        for k, arm in enumerate(arms)
    ]
    bars = go.Scatter(
        x=arms,
        y=[_mean(values[:, k]) for k in range(len(arms))],
        mode="markers",
        name="mean",
        hoverinfo="skip",
        marker={"symbol": "line-ew", "size": 34, "line": {"width": 3, "color": [colours[arm] for arm in arms]}},
    )
    drawn = theme.figure([*lines, *dots, bars], height=340, y=wording.metric_name(facts.column), showlegend=False)
    return drawn.update_xaxes(**theme.category(arms))


def _mean(values: np.ndarray) -> float:
    scores = values[~np.isnan(values)]
    return float(scores.mean()) if len(scores) else math.nan


def _block_lines(facts: BlockFacts) -> list[go.Scatter]:
    """All lines as one trace, parted by gaps."""
    x: list[str | None] = []
    y: list[float | None] = []
    for row in facts.values:
        x += [*facts.arms, None]
        y += [*row, None]
    line = {"color": "rgba(127,137,150,0.38)", "width": 1.2}
    return [go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", connectgaps=False)]


def block_pictures(study: StudyRecord) -> list[Picture]:
    """Paired dots of both objectives in every context, on the test fold where it was scored."""
    split = "test" if study.finished("confirm")["test_auroc"].notna().any() else "val"
    pictures = []
    for k, context in enumerate(study.contexts):
        for metric in wording.METRIC_NAMES:
            blocks = block_facts(study, context=context, column=f"{split}_{metric}")
            if blocks.blocks:
                pictures.append(_block_picture(blocks, k))
    return pictures


def _block_picture(facts: BlockFacts, k: int) -> Picture:
    columns = [Column("block", number=True), *(Column(arm, wording.number, True) for arm in facts.arms)]
    rows = [(block, *values) for block, values in zip(facts.blocks, facts.values, strict=True)]
    name, where = wording.metric_name(facts.column), wording.context_text(facts.context)
    title = f"{name[:1].upper()}{name[1:]}, {where}"
    alt = f"{name} of every replicate with {where}: {len(rows)} blocks across {wording.listing(list(facts.arms))}."
    return Picture(f"blocks-{k}-{facts.column.replace('_', '-')}", title, alt, block_figure(facts), columns, rows)
