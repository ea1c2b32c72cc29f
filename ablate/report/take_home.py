"""Which model of a study is taken home: an arm in a context, and the replicate whose weights or seed it has."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablate.errors import OptionError, StoreError
from ablate.report import wording
from ablate.report.context import Context
from ablate.report.study_record import StudyRecord
from ablate.study.wording import nearest


@dataclass(frozen=True)
class TakenModel:
    """A confirmed trial of the study.

    Attributes:
        params: that the seal holds for it.
    """

    slot_id: int
    arm: str
    context: Context
    replicate: int
    search: int
    seed: int
    params: Mapping[str, Any]


def take(
    study: StudyRecord,
    *,
    arm: str | None = None,
    context: Sequence[str] = (),
    replicate: int | None = None,
    among: Collection[int] | None = None,
) -> TakenModel:
    """The trial that these words name; what they leave open is chosen by validation scores, never by the test fold.

    Args:
        study: sealed and confirmed.
        arm: by its name; the one with the best mean validation score in the context where None.
        context: ``factor=value`` each; not needed where the study has one context.
        replicate: its number, from 0; the one with the best validation score where None.
        among: slots from which a replicate is chosen where none is named, if the arm has any of them.

    Raises:
        StoreError: the study has a routine of its own, is not sealed, or nothing of the arm is confirmed yet.
        OptionError: there is no such arm, context or replicate.
    """
    name = study.spec.name
    if study.spec.routine is not None:
        raise StoreError(
            f"study {name}: its models are those of its own routine, which keeps them itself or not at all; "
            f"`ablate export {name} --predictions FILE.parquet` writes its probabilities"
        )
    if study.seal is None:
        raise StoreError(
            f"study {name}: not sealed yet, so no recipe is chosen; `ablate run {name}` goes on, `ablate seal {name}` "
            "seals what there is"
        )
    if arm is not None and arm not in study.spec.arms:
        raise OptionError(f"--arm {arm}: no such arm in {name}{nearest(arm, list(study.spec.arms))}")
    where = _context(study, context)
    confirmed = study.finished("confirm")
    rows = confirmed[confirmed["context"] == where]
    select = study.spec.objectives.select
    if rows.empty or (arm is not None and not (rows["arm"] == arm).any()):
        raise StoreError(
            f"study {name}: no confirmed trial of {arm or 'any arm'} with {wording.context_text(where)} yet; "
            f"`ablate run {name}` goes on, `ablate status {name}` says how far it is"
        )
    taken_arm = arm or str(rows.groupby("arm", sort=False)[select].mean().idxmax())
    rows = rows[rows["arm"] == taken_arm]
    preferred = rows[rows["slot_id"].isin(among or ())]
    row = _replicate(study, rows if replicate is not None or preferred.empty else preferred, replicate, select)
    choice = study.seal.choice(taken_arm, where.values, int(row["search"]))
    assert choice is not None, "a confirmed trial has params"
    return TakenModel(
        slot_id=int(row["slot_id"]), arm=taken_arm, context=where, replicate=int(row["index"]),
        search=int(row["search"]), seed=int(row["seed"]), params=choice.params,
    )  # fmt: skip


def _context(study: StudyRecord, given: Sequence[str]) -> Context:
    """The one context that has all given values."""
    pairs = [text.partition("=") for text in given]
    for (factor, equals, value), text in zip(pairs, given, strict=True):
        if not equals or factor not in study.spec.context:
            known = ", ".join(f"{name}=…" for name in study.spec.context) or "none, this study has one context"
            raise OptionError(f"--context {text}: expected a factor with its value; there are: {known}")
        if not any(_is(one.values[factor], value) for one in study.contexts):
            values = ", ".join(map(str, study.spec.context[factor]))
            raise OptionError(f"--context {text}: expected one of {values}")
    fitting = [one for one in study.contexts if all(_is(one.values[factor], value) for factor, _, value in pairs)]
    if len(fitting) != 1:
        asked = " and ".join(given) or "nothing"
        choices = "; ".join(
            " ".join(f"--context {key}={value}" for key, value in one.factors) for one in fitting or study.contexts
        )
        raise OptionError(f"which context? {asked} fits {len(fitting)} of {study.spec.name}; give one of: {choices}")
    return fitting[0]


def _is(value: object, text: str) -> bool:
    """Whether ``text`` means ``value``; 1 and 1.0 are one number."""
    try:
        return str(value) == text or float(str(value)) == float(text)
    except ValueError:
        return False


def _replicate(study: StudyRecord, rows: pd.DataFrame, number: int | None, select: str) -> pd.Series:
    if number is not None and not (rows["index"] == number).any():
        there = wording.listing([str(index) for index in sorted(rows["index"])])
        raise OptionError(f"--replicate {number}: not confirmed in {study.spec.name}; there are {there or 'none'}")
    chosen: pd.Series = rows.loc[rows[select].idxmax()] if number is None else rows[rows["index"] == number].iloc[0]
    return chosen
