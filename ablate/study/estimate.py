"""What a study will cost and what it can see, told before it runs.

Time is one number, the seconds for a pass of one record through training, from past trials of the store or from a timed
pilot trial; evaluation of a record costs a third of that, since it has no backward pass. A routine of the user's own is
taken to pass once over its training records.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ablate.ecg.split import TaskData
from ablate.outcome import OWN_STAGE
from ablate.stats.power import detectable_difference, presumed_patient_sd, reachable_margin, seed_spread
from ablate.store.study_tables import StudyTables
from ablate.study.plan import CONFIRM, SEARCH, contexts, plan
from ablate.study.routine import SUBSET
from ablate.study.search import fixed_params
from ablate.study.spec import Spec
from ablate.study.update_count import UpdateCount, update_counts
from ablate.train.params import Params

EVALUATION = 1 / 3  # of a training pass
_PRESUMED_SEEDS_SD = 0.004  # of a paired difference in macro AUROC: measured by fine-tuning at a tenth of PTB-XL
_POWER = 0.8


@dataclass(frozen=True)
class Sight:
    """What the confirmation of one context can see, as macro AUROC.

    Attributes:
        detectable: smallest true difference found with 80 % power.
        margin: smallest margin against which truly equal arms are called equivalent with 80 % power.
        margin_at_best: the same with any number of blocks; what is below it no budget reaches on this test fold.
        is_presumed: spreads are presumed, not from past trials.
    """

    detectable: float
    margin: float
    margin_at_best: float
    is_presumed: bool


@dataclass(frozen=True)
class Estimate:
    """Cost by phase, and what it buys."""

    slots: Mapping[str, int]
    hours: Mapping[str, float | None]
    artifact_mb: float
    sight: Sight | None
    updates: Sequence[UpdateCount] = ()


def estimate(spec: Spec, data: TaskData, *, pace_s: float | None, past: StudyTables | None = None) -> Estimate:
    """Slots, hours of one worker, disk, and the smallest difference that the confirmation can detect.

    Args:
        spec: the study.
        data: its task without the test fold.
        pace_s: seconds for a record's pass through training; None where nobody knows.
        past: the same study in the store, or an earlier one.
    """
    slots = plan(spec)
    hours = {
        phase: None
        if pace_s is None
        else sum(_passes(spec, data, slot) for slot in slots if slot.phase == phase) * pace_s / 3600
        for phase in (SEARCH, CONFIRM)
    }
    cells = len(data.classes) * 4 * len(data.val_rows)
    counts = {phase: sum(slot.phase == phase for slot in slots) for phase in (SEARCH, CONFIRM)}
    n_bytes = cells * (counts[SEARCH] + 2 * counts[CONFIRM])
    updates = update_counts(spec, n_train=len(data.train_rows))
    return Estimate(counts, hours, n_bytes / 1e6, _sight(spec, data, past), updates)


def pace_of(past: StudyTables, data: TaskData) -> float | None:
    """Seconds for a record's pass through training, the median over past trials; None where there is none."""
    own = past.seconds[past.seconds["stage"] == OWN_STAGE].set_index("slot_id")["seconds"]
    if not own.empty:
        paces = (own / past.scores["n_train"]).replace([np.inf, 0], np.nan).dropna()
        return None if paces.empty else float(paces.median())
    tuned = past.seconds[past.seconds["stage"] == "finetune"].set_index("slot_id")["seconds"]
    epochs = past.params.get("ft_epochs")
    if tuned.empty or epochs is None:
        return None
    n_val = past.scores["n_val"].replace(0, len(data.val_rows))  # 0 where an earlier version did not count them
    passes = epochs * (past.scores["n_train"] + EVALUATION * n_val)
    paces = (tuned / passes).replace([np.inf, 0], np.nan).dropna()
    return None if paces.empty else float(paces.median())


def _passes(spec: Spec, data: TaskData, slot: Any) -> float:
    """Passes of one record through training that a slot is worth; the probe works on features and is left out."""
    if spec.routine is not None:
        params = spec.hyper_parameters.complete(fixed_params(spec, slot.arm, slot.context))
        return float(params[SUBSET]) * len(data.train_rows)
    params = {**{"data_fraction": 1.0, "ft_epochs": _epochs(spec, slot)}, **fixed_params(spec, slot.arm, slot.context)}
    n_train = float(params["data_fraction"]) * len(data.train_rows)
    n_val = len(data.val_rows) * (float(params["data_fraction"]) if params.get("val_fraction", "all") != "all" else 1)
    evaluated = n_val * float(params["ft_epochs"]) + len(data.val_rows) * (slot.phase == CONFIRM)
    return float(float(params["ft_epochs"]) * n_train + EVALUATION * evaluated)


def _epochs(spec: Spec, slot: Any) -> float:
    """Of fine-tuning; in the middle of its range where it is searched."""
    domain = spec.arm_space(slot.arm).get("ft_epochs")
    return Params().ft_epochs if domain is None else float(np.mean([float(value) for value in domain.extremes]))


def _sight(spec: Spec, data: TaskData, past: StudyTables | None) -> Sight | None:
    n_blocks = spec.budget.replicates
    if n_blocks < 2 or not spec.contrasts:
        return None
    spreads = [] if past is None else _past_spreads(past)
    n_positive = data.val_labels.sum(axis=0)
    scored = (n_positive > 0) & (n_positive < len(data.val_rows))
    assumed: dict[str, Any] = {
        "sd_seeds": max(spreads, default=_PRESUMED_SEEDS_SD),
        "sd_patients": presumed_patient_sd(n_positive[scored], len(data.val_rows)),  # fold 10 is like fold 9
        "n_contrasts": len(spec.contrasts) * len(contexts(spec)),
        "power": _POWER,
    }
    return Sight(
        detectable=detectable_difference(n_blocks=n_blocks, **assumed),
        margin=reachable_margin(n_blocks=n_blocks, **assumed),
        margin_at_best=reachable_margin(n_blocks=1_000_000, **assumed),
        is_presumed=not spreads,
    )


def _past_spreads(past: StudyTables) -> list[float]:
    """Spread of each pair of arms' difference over blocks, in each context of past confirmations."""
    done = past.slots[(past.slots["phase"] == CONFIRM) & (past.slots["state"] == "done")]
    scores = past.scores["val_auroc"]
    spreads = []
    for _, rows in done.groupby("context"):
        table = rows.assign(score=rows["slot_id"].map(scores)).pivot_table(index="index", columns="arm", values="score")
        spreads += [_spread(table[[a, b]].dropna()) for a, b in combinations(table.columns, 2)]
    return [spread for spread in spreads if math.isfinite(spread)]


def _spread(pair: pd.DataFrame) -> float:
    return seed_spread(pair.iloc[:, 0].to_numpy(), pair.iloc[:, 1].to_numpy()) if len(pair) > 1 else math.nan
