"""Early stopping: how many search trials it ended, what that saved, and how far an early score tells the last one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.markup import Column, Content, paragraph, table, tag
from ablate.report.study_record import StudyRecord
from ablate.stats.hypothesis_test import rank_correlation
from ablate.train.early_stopping import EarlyStopping
from ablate.train.params import Params


@dataclass(frozen=True)
class Rung:
    """One rung of one arm in one context.

    Attributes:
        epoch: of fine-tuning.
        n_reached: finished trials that have a score there.
        n_stopped: of these, the ones that were stopped there.
        saved_s: estimate of the training that these did not get: epochs not run, at the pace of the trial's own.
        n_whole: trials that ran to their end; the correlations are over these alone.
        spearman, kendall: between the score at the rung and the final one; NaN with fewer than three trials.
    """

    context: Context
    arm: str
    epoch: int
    n_reached: int
    n_stopped: int
    saved_s: float
    n_whole: int
    spearman: float
    kendall: float


@dataclass(frozen=True)
class RungFacts:
    """What early stopping did; with rungs of the usual place, to look at, where the study has none.

    Attributes:
        n_trials: finished search trials, stopped ones included.
    """

    is_on: bool
    column: str
    n_trials: int
    rungs: tuple[Rung, ...]

    @property
    def n_stopped(self) -> int:
        """Search trials that were stopped early."""
        return sum(rung.n_stopped for rung in self.rungs)

    @property
    def saved_s(self) -> float:
        """Estimated seconds of training that stopped trials did not get."""
        return sum(rung.saved_s for rung in self.rungs)


def rung_facts(study: StudyRecord) -> RungFacts:
    """Every rung of every arm in every context."""
    declared = study.spec.search.early_stopping
    if study.spec.routine is not None:  # which has no epochs that could be compared
        return RungFacts(False, study.spec.objectives.select, 0, ())
    early = declared or EarlyStopping()
    column = study.spec.objectives.select
    done = study.finished("search", with_stopped=True)
    done["n_epochs"] = _n_epochs(study, done)
    epochs = study.tables.epochs
    epochs = epochs[(epochs["stage"] == "finetune") & epochs["slot_id"].isin(done.index)]
    curves = epochs.pivot_table(index="slot_id", columns="epoch", values=column).reindex(done.index)
    pace_s = epochs.groupby("slot_id")["seconds"].mean().reindex(done.index)
    rungs = [
        _rung(trials.assign(at=curves[epoch], pace_s=pace_s), column, context=context, arm=arm, epoch=epoch)
        for context, arm, trials in study.cells(done)
        for epoch in _epochs(early, trials)
        if epoch in curves
    ]
    return RungFacts(declared is not None, column, len(done), tuple(rungs))


def _n_epochs(study: StudyRecord, done: pd.DataFrame) -> pd.Series:
    params = study.tables.params
    ft_epochs = params["ft_epochs"] if "ft_epochs" in params else pd.Series(dtype=float)
    return ft_epochs.reindex(done.index).fillna(Params().ft_epochs).astype(int)


def _epochs(early: EarlyStopping, trials: pd.DataFrame) -> Sequence[int]:
    return early.rungs(int(trials["n_epochs"].max())) if len(trials) else ()


def _rung(trials: pd.DataFrame, column: str, *, context: Context, arm: str, epoch: int) -> Rung:
    reached = trials[trials["at"].notna()]
    stopped = reached[reached["stopped_epoch"] == epoch]
    whole = reached[reached["stopped_epoch"].isna() & reached[column].notna()]
    saved_s = ((stopped["n_epochs"] - epoch) * stopped["pace_s"]).sum()
    rho, tau = rank_correlation(whole["at"].to_numpy(float), whole[column].to_numpy(float))
    return Rung(context, arm, epoch, len(reached), len(stopped), float(saved_s), len(whole), rho, tau)


CSV_COLUMNS = ("context", "arm", "epoch", "reached", "stopped", "saved_s", "n", "spearman", "kendall")


def rung_frame(facts: RungFacts) -> pd.DataFrame:
    """A row for each rung."""
    rows = [
        (
            wording.context_key(rung.context),
            rung.arm,
            rung.epoch,
            rung.n_reached,
            rung.n_stopped,
            rung.saved_s,
            rung.n_whole,
            rung.spearman,
            rung.kendall,
        )
        for rung in facts.rungs
    ]
    return pd.DataFrame(rows, columns=list(CSV_COLUMNS))


def rung_contents(study: StudyRecord) -> Iterator[Content]:
    """What it did, in a sentence and a table; nothing where the study does not use it."""
    facts = rung_facts(study)
    if not facts.is_on:
        return
    yield tag("h3", "Early stopping")
    yield paragraph(early_sentence(facts), " ", _LEFT_OUT if facts.n_stopped else None)
    columns = [
        Column("arm"),
        Column("data", wording.share_text),
        Column("epoch", number=True),
        *(Column(title, wording.whole, True) for title in ("reached", "stopped there", "ran to the end")),
        Column("Spearman", _correlation, True),
        Column("Kendall", _correlation, True),
    ]
    rows = [
        (r.arm, r.context, r.epoch, r.n_reached, r.n_stopped, r.n_whole, r.spearman, r.kendall) for r in facts.rungs
    ]
    yield table(columns, rows, label="Rungs: trials, and rank correlation with the final score")
    yield paragraph(_NOTE, class_="note")


def early_sentence(facts: RungFacts) -> str:
    """How many were stopped, and the hours that this saved."""
    if not facts.n_stopped:
        return f"None of {wording.whole(facts.n_trials)} finished search trials was stopped early."
    return (
        f"{wording.whole(facts.n_stopped)} of {wording.whole(facts.n_trials)} finished search trials were stopped "
        f"early, which saved about {wording.hours(facts.saved_s)} of training."
    )


_LEFT_OUT = (
    "They are never chosen, and are left out of best scores, slices and importances, which so describe the part of the "
    "space that survived."
)
_NOTE = (
    "Saved: epochs that were not run, at the pace of each trial's own. The rank correlations are between the score at "
    "the rung and the final one, over the trials that ran to their end; stopping narrows their range, which makes "
    "them smaller than they would be over all trials."
)


def _correlation(value: float) -> str:
    return wording.NONE if math.isnan(value) else wording.number(np.round(value, 2), digits=2)
