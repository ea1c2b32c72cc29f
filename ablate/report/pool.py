"""Pools: which finished search trials an importance is taken over."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ablate.report import frame, wording
from ablate.store.table import StudyTables
from ablate.train.params import RANGES


@dataclass(frozen=True)
class Pool:
    """Search trials that one analysis is taken over.

    Attributes:
        title: in words, such as ``all arms, 10 % of the data``.
        key: for CSV cells, such as ``data_fraction=0.1;arm=lp_sd``.
        is_main: shown as a figure; the pools within single arms stand in a table.
    """

    title: str
    key: str
    is_main: bool
    params: pd.DataFrame
    trials: pd.DataFrame


def pools(tables: StudyTables) -> Iterator[Pool]:
    """All trials, those of each data fraction, and those of each arm within each context.

    Parameters that some trial of a pool lacks, or that do not vary in it, are left out; an arm that switches a
    component off has no value for what depends on it, so dependent parameters appear within the arms that have them.
    """
    done = frame.finished(tables, phase="search")
    contexts, arms = frame.contexts(tables), [arm for arm in frame.arms(tables) if (done["arm"] == arm).any()]
    params = _with_context(tables, done)
    who = f"{len(arms)} arms" if len(arms) > 1 else "all trials"
    yield _pool(f"{who}, all contexts" if len(contexts) > 1 else who, "all", True, params, done)
    levels = _levels(done, params)
    for fraction in levels:
        inside = params["data_fraction"] == fraction
        level = {"data_fraction": fraction}
        yield _pool(
            f"{who}, {wording.context_text(level)}", wording.context_key(level), True, params[inside], done[inside]
        )
    if len(arms) > 1:
        for context in contexts:
            for arm in arms:
                inside = (done["context"] == context) & (done["arm"] == arm)
                title = f"{arm}, {wording.context_text(context)}"
                yield _pool(title, f"{wording.context_key(context)};arm={arm}", False, params[inside], done[inside])


def _with_context(tables: StudyTables, done: pd.DataFrame) -> pd.DataFrame:
    """Params with the factors of the context beside them."""
    params = tables.params.reindex(done.index)
    factors = pd.DataFrame([wording.context_values(context) for context in done["context"]], index=done.index)
    return params.drop(columns=[name for name in factors if name in params]).join(factors)


def _levels(done: pd.DataFrame, params: pd.DataFrame) -> list[float]:
    if "data_fraction" not in params or not len(done):
        return []
    found = sorted(float(value) for value in params["data_fraction"].dropna().unique())
    return found if 2 <= len(found) <= 8 else []


def _pool(title: str, key: str, is_main: bool, params: pd.DataFrame, trials: pd.DataFrame) -> Pool:
    order = {name: place for place, name in enumerate(RANGES)}
    usable = [name for name in params if name in RANGES and params[name].notna().all() and params[name].nunique() > 1]
    return Pool(title, key, is_main, params[sorted(usable, key=lambda name: order[name])], trials)
