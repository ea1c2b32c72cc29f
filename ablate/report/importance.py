"""Which parameter matters, by how much and how surely: for each objective, in each context, and within arms."""

import zlib
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from ablate.report import theme, wording
from ablate.report.importance_pool import ALL, Pool, pools
from ablate.report.markup import Column, Content, details, items, paragraph, table, tag
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord
from ablate.stats.importance import MIN_TRIALS, Importances, Share, importance

_DRAWS = 400  # for the pool of all trials; half as many for the others
_WORTH_TELLING = 0.01  # a smaller share is not named in the first sentences
OBJECTIVES = ("val_auroc", "val_auprc")


@dataclass(frozen=True)
class ImportanceFacts:
    """One analysis: shares of the variance of ``metric`` over a pool; ``found`` is None with too few trials."""

    metric: str
    pool: Pool
    found: Importances | None

    @property
    def n(self) -> int:
        """Trials."""
        return len(self.pool.trials)


def importance_facts(study: StudyRecord) -> tuple[ImportanceFacts, ...]:
    """Every objective over every pool, the pools over all contexts first."""
    return tuple(_facts(metric, pool) for pool in pools(study) for metric in OBJECTIVES)


def _facts(metric: str, pool: Pool) -> ImportanceFacts:
    values = pool.trials[metric]
    known = values.notna().to_numpy()
    if known.sum() < MIN_TRIALS or values[known].nunique() < 2 or not pool.axes:
        return ImportanceFacts(metric, pool, None)
    seed = zlib.crc32(f"{metric} {pool.key}".encode())
    n_draws = _DRAWS if pool.key == ALL else _DRAWS // 2
    found = importance(pool.params[known], values[known].to_numpy(float), pool.axes, n_draws=n_draws, seed=seed)
    return ImportanceFacts(metric, pool, found)


def importance_figure(facts: ImportanceFacts) -> go.Figure:
    """Bars with 95 % intervals, PED-ANOVA as open diamonds beside them."""
    assert facts.found is not None
    main, other = facts.found.main, facts.found.ped_anova
    names = sorted(main, key=lambda name: (-main[name].mean, name))
    means, lows, highs = (np.array([getattr(main[name], part) for name in names]) for part in ("mean", "low", "high"))
    error = {
        "type": "data",
        "symmetric": False,
        "array": np.maximum(highs - means, 0).tolist(),
        "thickness": 1.6,
        "width": 4,
        "arrayminus": np.maximum(means - lows, 0).tolist(),
        "color": "rgba(110,119,129,0.9)",
    }
    bars = go.Bar(
        y=names,
        x=means.tolist(),
        orientation="h",
        name="fANOVA",
        error_x=error,
        marker={"color": theme.faded(theme.COLOURS[0], 0.75)},
        hovertemplate="%{y}: %{x:.3f}<extra>fANOVA</extra>",
    )
    marker = {"symbol": "diamond-open", "size": 9, "color": theme.COLOURS[1], "line": {"width": 2}}
    dots = go.Scatter(
        y=names,
        x=[other.get(name) for name in names],
        mode="markers",
        name="PED-ANOVA",
        marker=marker,
        hovertemplate="%{y}: %{x:.3f}<extra>PED-ANOVA</extra>",
    )
    traces = [bars, dots] if other else [bars]
    drawn = theme.figure(
        traces, height=110 + 32 * len(names), x="share of the explained variance", showlegend=True, bargap=0.4
    )
    drawn.update_xaxes(rangemode="tozero")
    return drawn.update_yaxes(**theme.category(names, autorange="reversed"))


def marginal_figure(facts: ImportanceFacts, *, param: str) -> go.Figure:
    """Expected score against one parameter, averaged over the others, with its 95 % band."""
    assert facts.found is not None
    curve = facts.found.curves[param]
    x, low, high = list(curve.values), list(curve.low), list(curve.high)
    band = go.Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        fillcolor=theme.faded(theme.COLOURS[0], 0.16),
    )
    line = go.Scatter(
        x=x,
        y=list(curve.mean),
        mode="lines",
        line={"color": theme.COLOURS[0], "width": 2},
        hovertemplate=f"{param} %{{x:.3g}}: %{{y:.4f}}<extra></extra>",
    )
    return theme.figure(
        [band, line], height=220, showlegend=False, xaxis=theme.scale(None, x), margin=theme.SMALL_MARGIN
    )


def leading(facts: tuple[ImportanceFacts, ...]) -> list[str]:
    """Parameters by falling importance in the first analysis."""
    first = next((one.found for one in facts if one.found is not None), None)
    return [] if first is None else sorted(first.main, key=lambda name: (-first.main[name].mean, name))


def importance_sentences(facts: tuple[ImportanceFacts, ...]) -> list[str]:
    """What matters most over all trials, a sentence for each objective."""
    told = []
    for one in facts:
        if one.pool.key == ALL and one.found is not None:
            main = one.found.main
            names = [name for name in leading((one,))[:3] if main[name].mean >= _WORTH_TELLING]
            shares = [f"{name} {100 * main[name].mean:.0f} % ({_percents(main[name])})" for name in names]
            metric = wording.metric_name(one.metric)
            most = f"{metric[:1].upper()}{metric[1:]} is moved most by {wording.listing(shares)}."
            told.append(f"{most} {ranking(one.found)}")
    return told


def ranking(found: Importances) -> str:
    """Whether the ranking holds when trials are resampled, and how much of the variance there is to share."""
    explained = f"{100 * found.explained.mean:.0f} % ({_percents(found.explained)})"
    return f"The ranking is {found.statement}. Main effects and pairs explain {explained} of the trials’ variance."


def _percents(share: Share) -> str:
    return f"95 %: {100 * share.low:.0f} to {100 * share.high:.0f} %"


def importance_section(facts: tuple[ImportanceFacts, ...]) -> Section:
    """Importances of both objectives over every pool."""
    shown = [one for one in facts if one.found is not None]
    if not shown:
        n = max((one.n for one in facts), default=0)
        text = f"{n} search trials are finished; an importance needs {MIN_TRIALS} or more with parameters that vary."
        return Section("importance", "What matters in the search", (paragraph(text),))
    body: list[Content | Picture] = [paragraph(_WHAT, class_="note")]
    for title in dict.fromkeys(one.pool.title for one in shown if one.pool.is_main):
        inside = [one for one in shown if one.pool.title == title]
        body.append(tag("h3", f"{title[:1].upper()}{title[1:]} · {inside[0].n} trials"))
        body.append(items(*(f"{wording.metric_name(one.metric)}: {ranking(one.found)}" for one in inside if one.found)))
        body += [_picture(one, shown.index(one)) for one in inside]
    within = [one for one in shown if not one.pool.is_main]
    if within:
        body.append(details("Within each arm", _within_table(within)))
    body += _marginals(shown)
    return Section("importance", "What matters in the search", tuple(body))


_WHAT = (
    "Functional ANOVA splits the variance of the score over the searched space, as if every point of it were equally "
    "likely: a bar is the share that one parameter explains by itself; what pairs explain stands under Interactions. "
    "PED-ANOVA answers another question, what gets a trial into the best tenth, and may rank otherwise. A share says "
    "how much a parameter moves the score within the range that was searched, not whether a component helps: that is "
    "what contrasts of arms answer."
)


def _picture(facts: ImportanceFacts, k: int) -> Picture:
    assert facts.found is not None
    main = facts.found.main
    names = sorted(main, key=lambda name: (-main[name].mean, name))
    ped = facts.found.ped_anova
    columns = [
        Column("parameter"),
        Column("share", wording.number, True),
        Column("95 % interval", number=True),
        Column("PED-ANOVA", wording.number, True),
    ]
    rows = [(name, main[name].mean, wording.interval(main[name].low, main[name].high), ped.get(name)) for name in names]
    told = ", ".join(f"{name} {main[name].mean:.2f}" for name in names)
    title = wording.metric_name(facts.metric)
    alt = f"Importance for {title} over {facts.pool.title}: {told}."
    return Picture(f"importance-{k}", title[:1].upper() + title[1:], alt, importance_figure(facts), columns, rows)


def _within_table(facts: list[ImportanceFacts]) -> Content:
    columns = [
        Column("pool"),
        Column("metric", wording.metric_name),
        Column("trials", number=True),
        Column("parameter"),
        Column("share", wording.number, True),
        Column("95 % interval", number=True),
        Column("ranking"),
    ]
    rows = [
        (
            one.pool.title,
            one.metric,
            one.n,
            name,
            share.mean,
            wording.interval(share.low, share.high),
            "stable" if one.found.stable else "not stable",
        )
        for one in facts
        if one.found is not None
        for name, share in sorted(one.found.main.items(), key=lambda entry: -entry[1].mean)
    ]
    return table(columns, rows, label="Importances within each arm")


def _marginals(shown: list[ImportanceFacts]) -> list[Content | Picture]:
    """Curves of the first objective over all trials, the most important parameter first."""
    first = next((one for one in shown if one.pool.key == ALL and one.found is not None and one.found.curves), None)
    if first is None or first.found is None:
        return []
    name = wording.metric_name(first.metric)
    pictures = [
        Picture(
            f"marginal-{k}",
            param,
            f"Expected {name} against {param}, averaged over the other parameters, with a band.",
            marginal_figure(first, param=param),
            small=True,
        )
        for k, param in enumerate(leading((first,)))
        if param in first.found.curves
    ]
    note = f"Expected {name}, averaged over all other parameters; the band is 95 % over resampled trials."
    return [tag("h3", "Marginal curves"), paragraph(note, class_="note"), *pictures]
