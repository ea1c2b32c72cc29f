"""Interactions: what two parameters explain together."""

import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.importance import ImportanceFacts
from ablate.report.importance_pool import ALL
from ablate.report.markup import Column, paragraph
from ablate.report.section import Picture, Section


def interaction_figure(facts: ImportanceFacts) -> go.Figure:
    """Pairwise interactions as a triangle, main effects left out."""
    assert facts.found is not None
    names = sorted({name for pair in facts.found.pairs for name in pair}, key=lambda n: (-facts.found.main[n].mean, n))  # type: ignore[union-attr]
    shares = {frozenset(pair): share.mean for pair, share in facts.found.pairs.items()}
    rows = [
        [shares.get(frozenset((a, b))) if i < j else None for i, a in enumerate(names[:-1])]
        for j, b in enumerate(names)
    ][1:]
    text = [["" if value is None else f"{value:.3f}" for value in row] for row in rows]
    heat = go.Heatmap(
        x=names[:-1],
        y=names[1:],
        z=rows,
        text=text,
        texttemplate="%{text}",
        colorscale=theme.SHADES,
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{x} and %{y}: %{z:.3f}<extra></extra>",
        zmin=0,
        hoverongaps=False,
    )
    drawn = theme.figure([heat], height=140 + 36 * len(names))
    drawn.update_xaxes(**theme.category(names[:-1], showgrid=False))
    return drawn.update_yaxes(**theme.category(names[1:], showgrid=False, autorange="reversed"))


def interaction_section(facts: tuple[ImportanceFacts, ...]) -> Section | None:
    """Pairwise shares of the variance; None without two parameters."""
    shown = [one for one in facts if one.found is not None and one.pool.is_main and one.found.pairs]
    if not shown:
        return None
    return Section(
        "interactions",
        "Interactions",
        (paragraph(_PAIRS, class_="note"), *(_pairs_picture(one, k) for k, one in enumerate(shown))),
    )


_PAIRS = (
    "Second-order fANOVA: the share of the variance that two parameters explain together beyond what each explains "
    "alone. "
    "Whether one component helps more with another is a contrast of arms, where one is declared."
)


def _pairs_picture(facts: ImportanceFacts, k: int) -> Picture:
    assert facts.found is not None
    ordered = sorted(facts.found.pairs.items(), key=lambda entry: (-entry[1].mean, entry[0]))
    columns = [Column("pair"), Column("share", wording.number, True), Column("95 % interval", number=True)]
    rows = [(" and ".join(pair), share.mean, wording.interval(share.low, share.high)) for pair, share in ordered]
    title = wording.metric_name(facts.metric) + ("" if facts.pool.key == ALL else f", {facts.pool.title}")
    alt = f"Interactions for {title}; the largest is {rows[0][0]} with {rows[0][1]:.3f} of the variance."
    return Picture(f"interactions-{k}", title[:1].upper() + title[1:], alt, interaction_figure(facts), columns, rows)
