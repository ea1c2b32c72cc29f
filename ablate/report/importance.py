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

_DRAWS = 400  # for the pools that stand as figures; half as many within arms
TRIALS_PER_PARAMETER = 10  # fewer finished trials for each parameter that varies give no ranking
_LEAST, _MOST = 1e-6, 1 - 1e-6  # scores at the ends of their scale have no logit
_WORTH_TELLING = 0.01  # a smaller share is not named in the first sentences
OBJECTIVES = ("val_auroc", "val_auprc")


@dataclass(frozen=True)
class ImportanceFacts:
    """One analysis: shares of the variance of ``metric`` over a pool, on the logit scale.

    Attributes:
        found: None with too few trials, or where nothing varies.
    """

    metric: str
    pool: Pool
    found: Importances | None

    @property
    def n(self) -> int:
        """Trials with the score."""
        return int(self.pool.trials[self.metric].notna().sum())

    @property
    def n_needed(self) -> int:
        """Trials that a ranking takes."""
        return max(MIN_TRIALS, TRIALS_PER_PARAMETER * len(self.pool.axes))


def importance_facts(study: StudyRecord) -> tuple[ImportanceFacts, ...]:
    """Every objective over every pool, the pools over all contexts first."""
    return tuple(_facts(metric, pool) for pool in pools(study) for metric in OBJECTIVES)


def _facts(metric: str, pool: Pool) -> ImportanceFacts:
    silent = ImportanceFacts(metric, pool, None)
    values = pool.trials[metric].dropna()
    if len(values) < silent.n_needed or values.nunique() < 2 or not pool.axes:
        return silent
    scores = np.log(values.clip(_LEAST, _MOST) / (1 - values.clip(_LEAST, _MOST)))
    seed = zlib.crc32(f"{metric} {pool.key}".encode())
    n_draws = _DRAWS if pool.is_main else _DRAWS // 2
    importances = importance(pool.params.loc[values.index], scores.to_numpy(), pool.axes, n_draws=n_draws, seed=seed)
    return ImportanceFacts(metric, pool, importances)


def importance_figure(facts: ImportanceFacts) -> go.Figure:
    """Bars with 95 % intervals."""
    assert facts.found is not None
    main = facts.found.main
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
        error_x=error,
        marker={"color": theme.faded(theme.COLOURS[0], 0.75)},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    drawn = theme.figure([bars], height=90 + 32 * len(names), x="share of the explained variance", bargap=0.4)
    drawn.update_xaxes(range=[0, 1])
    return drawn.update_yaxes(**theme.category(names, autorange="reversed"))


def marginal_figure(facts: ImportanceFacts, *, param: str) -> go.Figure:
    """Expected score against one parameter, averaged over the others, with its 95 % band."""
    assert facts.found is not None
    curve = facts.found.curves[param]
    x = list(curve.values)
    mean, low, high = (list(1 / (1 + np.exp(-line))) for line in (curve.mean, curve.low, curve.high))
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
        y=mean,
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
    """What matters most, a sentence for each objective and figure; how many trials it takes where there are too few."""
    main = [one for one in facts if one.pool.is_main]
    sentences = [_leading_sentence(one, one.found) for one in main if one.found is not None]
    return sentences or list(dict.fromkeys(missing_trials(one) for one in main[:1]))


def _leading_sentence(facts: ImportanceFacts, importances: Importances) -> str:
    metric, where = wording.metric_name(facts.metric), "" if facts.pool.key == ALL else f" ({facts.pool.title})"
    names = [name for name in leading((facts,))[:3] if importances.main[name].mean >= _WORTH_TELLING]
    shares = [
        f"{name} {100 * importances.main[name].mean:.0f} % ({_percents(importances.main[name])})" for name in names
    ]
    return f"{metric[:1].upper()}{metric[1:]}{where} is moved most by {wording.listing(shares)}. {ranking(importances)}"


def missing_trials(facts: ImportanceFacts) -> str:
    """How many more trials a ranking takes."""
    if not facts.pool.axes:
        return f"{facts.pool.title}: no parameter varies among its {facts.n} finished search trials, so none is ranked."
    more = facts.n_needed - facts.n
    why = f"{TRIALS_PER_PARAMETER} for each of {len(facts.pool.axes)} parameters"
    return (
        f"{facts.pool.title}: {facts.n} search trials are finished; a ranking takes {facts.n_needed} ({why}), "
        f"{more} more."
    )


def ranking(importances: Importances) -> str:
    """Whether the ranking holds when trials are resampled, and how much of the variance there is to share."""
    explained = f"{100 * importances.explained.mean:.0f} % ({_percents(importances.explained)})"
    return (
        f"The ranking is {importances.statement}. Main effects and pairs explain {explained} of the trials’ variance."
    )


def _percents(share: Share) -> str:
    return f"95 %: {100 * share.low:.0f} to {100 * share.high:.0f} %"


def importance_section(facts: tuple[ImportanceFacts, ...]) -> Section:
    """Importances of both objectives over every pool."""
    shown = [one for one in facts if one.found is not None]
    silent = dict.fromkeys(missing_trials(one) for one in facts if one.found is None and one.pool.is_main)
    body: list[Content | Picture] = [items(*silent)] if silent else []
    if not shown:
        return Section("importance", "What matters in the search", tuple(body))
    body.append(paragraph(_WHAT, class_="note"))
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
    "Functional ANOVA splits the variance of the score’s logit over the searched space, as if every point of it were "
    "equally likely: a bar is the share that one parameter explains by itself; what pairs explain stands under "
    "Interactions. PED-ANOVA, in the data of a figure, answers another question, what gets a trial into the best "
    "tenth, and may rank otherwise. Contexts stand apart: they are crossed with the search and no part of it. "
    "A share says "
    "how much a parameter moves the score within the range that was searched, not whether a component helps: that is "
    "what contrasts of arms answer."
)


def importance_pictures(facts: tuple[ImportanceFacts, ...]) -> list[Picture]:
    """Bars of each analysis that has enough trials."""
    return [_picture(one, k) for k, one in enumerate(one for one in facts if one.found is not None)]


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
    described = ", ".join(f"{name} {main[name].mean:.2f}" for name in names)
    title = wording.metric_name(facts.metric)
    alt = f"Importance for {title} over {facts.pool.title}: {described}."
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
    """Curves of the first objective in the first figure's pool, the most important parameter first."""
    first = next((one for one in shown if one.pool.is_main and one.found is not None and one.found.curves), None)
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
    note = f"Expected {name}, {first.pool.title}, averaged over all other parameters, with its 95 % band."
    return [tag("h3", "Marginal curves"), paragraph(note, class_="note"), *pictures]
