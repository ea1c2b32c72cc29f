"""Selections from a study's tables that several sections share."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ablate.report import wording
from ablate.store.study_tables import StudyTables

DONE, FAILED, CANCELLED = "DONE", "FAILED", "CANCELLED"
OPEN = ("WAITING", "LEASED")
SCORES = ("val_auroc", "val_auprc", "test_auroc", "test_auprc")


def state(tables: StudyTables) -> pd.Series:
    """State of each slot, upper case."""
    return tables.slots["state"].astype(str).str.upper().str.rpartition(".")[2]


def slots(tables: StudyTables, *, phase: str | None = None) -> pd.DataFrame:
    """Slots with their state in upper case and their context as canonical JSON, by phase, arm, context and index."""
    found = tables.slots.assign(state=state(tables), context=tables.slots["context"].map(_canonical_by_text(tables)))
    return found if phase is None else found[found["phase"] == phase]


def sources(tables: StudyTables) -> dict[str, int]:
    """Studies that results were taken from, and how many."""
    taken = Counter(str(source).partition(": ")[0] for source in tables.slots["reused_from"].dropna())
    return dict(sorted(taken.items()))


def finished(tables: StudyTables, *, phase: str, with_stopped: bool = False) -> pd.DataFrame:
    """Done slots of a phase with their scores, a row each, in the order of the plan.

    Args:
        tables: of the study.
        phase: search or confirm.
        with_stopped: also trials that were stopped early, whose scores are those of a shorter training.
    """
    done = slots(tables, phase=phase)
    done = done[done["state"] == DONE].set_index("slot_id", drop=False).rename_axis("slot")
    done = done if with_stopped else done[done["stopped_epoch"].isna()]
    scores = tables.scores.reindex(done.index).drop(columns=[name for name in tables.scores if name in done])
    joined = done.join(scores)
    for name in SCORES:
        joined[name] = pd.to_numeric(joined[name], errors="coerce") if name in joined else float("nan")
    return joined


def arms(tables: StudyTables) -> list[str]:
    """Arms in the order of the study file, then any the slots know besides."""
    named = list(tables.spec.get("arms") or {})
    return named + sorted(set(tables.slots["arm"].astype(str)) - set(named))


def contexts(tables: StudyTables) -> list[str]:
    """Contexts as canonical JSON, by data fraction first, then by their text."""
    return sorted(set(slots(tables)["context"]), key=lambda text: (_fraction(text), text))


def baseline(tables: StudyTables) -> str | None:
    """The arm that most contrasts are taken against, the first arm where none is declared."""
    named = [found[1] for entry in contrasts(tables) if (found := pair(entry)) is not None]
    if named:
        return max(dict.fromkeys(named), key=named.count)
    return next(iter(arms(tables)), None)


def contrasts(tables: StudyTables) -> list[dict[str, Any]]:
    """Declared contrasts: those sealed, else those of the study file."""
    sealed = (tables.seal or {}).get("contrasts")
    declared = sealed if sealed is not None else tables.spec.get("contrasts")
    return [dict(entry) for entry in declared or ()]


def weights(contrast: Mapping[str, Any]) -> dict[str, float]:
    """Arm weights of a contrast: +1 and -1, or its own combination."""
    given = contrast.get("weights") or contrast.get("combination")
    if given:
        return {str(arm): float(weight) for arm, weight in given.items()}
    return {str(contrast["arm"]): 1.0, str(contrast["baseline"]): -1.0}


def pair(contrast: Mapping[str, Any]) -> tuple[str, str] | None:
    """Arm and baseline of a contrast of two arms; None for a combination."""
    found = {weight: arm for arm, weight in weights(contrast).items()}
    return (found[1.0], found[-1.0]) if set(found) == {1.0, -1.0} and len(weights(contrast)) == 2 else None


def interaction(contrast: Mapping[str, Any], *, neither: str | None) -> tuple[str, str, str] | None:
    """Both, first and second of ``both - first - second + neither``; None for any other contrast."""
    given = weights(contrast)
    plus, minus = ([arm for arm, weight in given.items() if weight == sign] for sign in (1.0, -1.0))
    if neither not in plus or not len(plus) == len(minus) == 2 or len(given) != 4:
        return None
    return next(arm for arm in plus if arm != neither), minus[0], minus[1]


def best_metric(tables: StudyTables) -> str:
    """Validation score that the search maximises."""
    return str((tables.spec.get("objectives") or {}).get("select", "val_auroc"))


def free_params(tables: StudyTables, frame: pd.DataFrame) -> list[str]:
    """Parameters that take more than one value in these slots, in the order of the study file's space."""
    params = tables.params.reindex(frame.index)
    varied = [name for name in params if params[name].nunique(dropna=True) > 1]
    order = list(tables.spec.get("space") or {})
    return sorted(varied, key=lambda name: (order.index(name) if name in order else len(order), name))


def groups(frame: pd.DataFrame, tables: StudyTables) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Context, arm and rows, contexts outermost, empty cells included."""
    for context in contexts(tables):
        for arm in arms(tables):
            yield context, arm, frame[(frame["context"] == context) & (frame["arm"] == arm)]


def _canonical_by_text(tables: StudyTables) -> dict[Any, str]:
    """There are few contexts and many slots: each text is read once."""
    return {text: canonical(text) for text in tables.slots["context"].unique()}


def canonical(context: Any) -> str:
    """A context as JSON that is the same text for the same values."""
    return json.dumps(wording.context_values(context), sort_keys=True)


def _fraction(context: str) -> float:
    value = wording.context_values(context).get("data_fraction")
    return float(value) if isinstance(value, int | float) else 0.0
