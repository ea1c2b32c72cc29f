"""Pools: which finished search trials an importance is taken over, and over what space."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from ablate.domain import Domain
from ablate.report import wording
from ablate.report.context import Context
from ablate.report.study_record import StudyRecord
from ablate.study.space import parse_domain

ALL = "all"  # key of the pool of all trials, where there is one context
FRACTION = "data_fraction"
Space = dict[str, Domain]
_MOST_LEVELS = 8  # a fraction with more values was searched, not crossed


@dataclass(frozen=True)
class Pool:
    """Search trials that one analysis is taken over.

    Attributes:
        title: in words, such as ``4 arms, 10 % of the data``.
        key: for CSV cells, such as ``data_fraction=0.1;arm=lp_sd``.
        is_main: shown as a figure; the pools within single arms stand in a table.
        params: a row for each trial, a column for each parameter that varies and that every trial has.
        axes: what each parameter could be.
    """

    title: str
    key: str
    is_main: bool
    params: pd.DataFrame
    axes: Mapping[str, Domain]
    trials: pd.DataFrame


def pools(study: StudyRecord) -> Iterator[Pool]:
    """Trials of each context, and of each arm within it; where the data fraction was searched, all and those with
    little and much data.

    Contexts are never pooled: their levels are crossed with the search and no part of it. An arm that switches a
    component off has no value for what depends on it, so dependent parameters appear within the arms that have them.
    """
    done = study.finished("search")
    contexts, arms = study.contexts, [arm for arm in study.arms if (done["arm"] == arm).any()]
    params = _with_context(study, done)
    who = f"{len(arms)} arms" if len(arms) > 1 else "all trials"
    space, names = study.spec.space, tuple(study.spec.hyper_parameters.domains)
    pool = partial(_pool, names=names)
    if len(contexts) == 1:
        yield pool(who, ALL, params, done, space, is_main=True)
        yield from _by_fraction(pool, who, params, done, space)
    for context in contexts if len(contexts) > 1 else ():
        inside, title = done["context"] == context, f"{who}, {wording.context_text(context)}"
        yield pool(title, wording.context_key(context), params[inside], done[inside], space, is_main=True)
    if len(arms) > 1:
        for context in contexts:
            for arm in arms:
                inside = (done["context"] == context) & (done["arm"] == arm)
                own = space | study.spec.arms[arm]
                title, key = f"{arm}, {wording.context_text(context)}", f"{wording.context_key(context)};arm={arm}"
                yield pool(title, key, params[inside], done[inside], own, is_main=False)


def _by_fraction(
    pool: Callable[..., Pool], who: str, params: pd.DataFrame, done: pd.DataFrame, space: Space
) -> Iterator[Pool]:
    """A pool for each level of the data fraction, or for little and much data where the fraction was searched."""
    if FRACTION not in params or params[FRACTION].nunique() < 2:
        return
    values = params[FRACTION].astype(float)
    levels = sorted(set(values))
    if len(levels) <= _MOST_LEVELS:
        for level in levels:
            inside, factor = values == level, Context.of({FRACTION: level})
            title, key = f"{who}, {wording.context_text(factor)}", wording.context_key(factor)
            yield pool(title, key, params[inside], done[inside], space, is_main=True)
        return
    low, high = levels[0], levels[-1]
    middle = math.sqrt(low * high)
    for start, end, inside in ((low, middle, values < middle), (middle, high, values >= middle)):
        title = f"{who}, {100 * start:.2g} % to {100 * end:.3g} % of the data"
        band = {FRACTION: parse_domain(FRACTION, {"low": start, "high": end, "log": True})}
        key = f"{FRACTION}={wording.general(start)}..{wording.general(end)}"
        yield pool(title, key, params[inside], done[inside], {**space, **band}, is_main=True)


def _with_context(study: StudyRecord, done: pd.DataFrame) -> pd.DataFrame:
    """Params with the factors of the context beside them."""
    params = study.tables.params.reindex(done.index)
    factors = pd.DataFrame([context.values for context in done["context"]], index=done.index)
    return params.drop(columns=[name for name in factors if name in params]).join(factors)


def _pool(
    title: str,
    key: str,
    params: pd.DataFrame,
    trials: pd.DataFrame,
    space: Space,
    *,
    is_main: bool,
    names: tuple[str, ...],
) -> Pool:
    """Of those of ``names`` that vary: every hyper-parameter of the study's routine, in its order."""
    usable = [n for n in names if n in params and params[n].notna().all() and params[n].nunique() > 1]
    chosen = params[usable].infer_objects()
    return Pool(
        title, key, is_main, chosen, {name: _spanned(name, chosen[name], space.get(name)) for name in usable}, trials
    )


def _spanned(name: str, values: pd.Series, declared: Domain | None) -> Domain:
    """The declared range, widened to the values there are; levels of a crossed factor are choices."""
    if declared is None or declared.choices:
        choices = tuple(sorted(set(values), key=lambda value: (str(type(value)), value)))
        return Domain(name=name, choices=choices)
    low, high = min(declared.low, float(values.min())), max(declared.high, float(values.max()))
    return replace(declared, low=low, high=high, log=declared.log and low > 0)
