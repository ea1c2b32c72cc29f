"""What a study will cost and what it can see, told before it runs.

Time is one number, the seconds for a pass of one record through training, from past trials of the store or from a timed
pilot trial; evaluation of a record costs a third of that, since it has no backward pass. A routine of the user's own is
taken to pass once over its training records.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from ablate.ecg.split import TaskData
from ablate.outcome import OWN_STAGE
from ablate.stats.course import Spreads, course, detectable, presumed_patient_sd
from ablate.stats.declaration import MIN_TEST_BLOCKS, Declaration
from ablate.stats.effect import Effect
from ablate.stats.evaluation import evaluate
from ablate.stats.metrics import both_outcomes
from ablate.store.study_tables import StudyTables
from ablate.study.plan import CONFIRM, SEARCH, confirming, plan
from ablate.study.routine import SUBSET
from ablate.study.seal import declared
from ablate.study.search import fixed_params
from ablate.study.spec import Spec
from ablate.study.update_count import UpdateCount, update_counts
from ablate.train.params import Params

EVALUATION = 1 / 3  # of a training pass
_PRESUMED_SEEDS_SD = 0.004  # of a paired difference in macro AUROC: measured by fine-tuning at a tenth of PTB-XL
_POWER = 0.8


class Source(StrEnum):
    """Where assumed spreads come from."""

    PILOT = "pilot"
    PAST = "past"
    PRESUMED = "presumed"


@dataclass(frozen=True)
class Sight:
    """What the confirmation of one context can see of one contrast, as macro AUROC, before others set error free.

    Attributes:
        source: of the spreads: earlier blocks of this study or of a variant of it, of another study on the same data,
            or presumed.
        sd_seeds: over blocks; sd_patients: over test folds; of the contrast that varies most.
        detectable: smallest true difference that is found with 80 % power.
        found_at_margin: power where the true difference is as large as the margin of equivalence.
        equivalent: probability that truly equal arms are called equivalent.
        blocks_if_equal, blocks_if_detectable: means, until looks have decided or given up.
        hours_if_equal, hours_if_detectable: of one worker for so many blocks of all arms; None where nobody knows.
    """

    context: Mapping[str, Any]
    source: Source
    sd_seeds: float
    sd_patients: float
    detectable: float
    found_at_margin: float
    equivalent: float
    blocks_if_equal: float
    blocks_if_detectable: float
    hours_if_equal: float | None
    hours_if_detectable: float | None


@dataclass(frozen=True)
class Estimate:
    """Cost by phase, and what it buys in each context."""

    slots: Mapping[str, int]
    hours: Mapping[str, float | None]
    artifact_mb: float
    sights: Sequence[Sight]
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
    return Estimate(counts, hours, n_bytes / 1e6, _sights(spec, data, past, pace_s), updates)


def pace_of(past: StudyTables, data: TaskData) -> float | None:
    """Seconds for a record's pass through training, the median over past trials; None where there is none."""
    own = past.seconds[past.seconds["stage"] == OWN_STAGE].set_index("slot_id")["seconds"]
    if not own.empty:
        return _median_pace(own / past.scores["n_train"])
    tuned = past.seconds[past.seconds["stage"] == "finetune"].set_index("slot_id")["seconds"]
    epochs = past.params.get("ft_epochs")
    if tuned.empty or epochs is None:
        return None
    n_all = len(data.val_rows)
    n_val = past.scores["n_val"].replace(0, n_all) if "n_val" in past.scores else n_all  # older results lack it
    passes = epochs * (past.scores["n_train"] + EVALUATION * n_val)
    return _median_pace(tuned / passes)


def _median_pace(paces: pd.Series) -> float | None:
    known = paces.replace([np.inf, 0], np.nan).dropna()
    return None if known.empty else float(known.median())


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


def _sights(spec: Spec, data: TaskData, past: StudyTables | None, pace_s: float | None) -> list[Sight]:
    """For each context in the declared order; none without contrasts or with too few blocks to test."""
    if spec.budget.replicates < MIN_TEST_BLOCKS or not spec.contrasts:
        return []
    looks = declared(spec, None).stages()[0]
    return [_sight(spec, data, past, pace_s, looks, context) for context in looks.contexts]


def _sight(
    spec: Spec, data: TaskData, past: StudyTables | None, pace_s: float | None, own: Declaration, key: str
) -> Sight:
    context, first = json.loads(key), own.families[0]
    source, spreads = _spreads(spec, data, past, context)
    margin, n_contrasts = spec.margin.auroc, len(first.contrasts)
    level = own.shares()[key, first.name] / n_contrasts
    level = level or own.alpha / n_contrasts  # without a reserve it has what the first context sets free
    size = detectable(spreads, looks=own.looks, level=level, power=_POWER)
    by_size = {
        true: course(
            true,
            spreads,
            looks=own.looks,
            level=level,
            margin=margin,
            futility=spec.inference.futility if len(own.looks) > 1 else 0.0,
            equivalence_level=own.alpha / n_contrasts,
        )
        for true in (0.0, margin, size)
    }
    block_s = _block_s(spec, data, context, pace_s)
    equal, there = by_size[0.0].blocks, by_size[size].blocks
    return Sight(
        context=context,
        source=source,
        sd_seeds=spreads.seeds,
        sd_patients=spreads.patients,
        detectable=size,
        found_at_margin=by_size[margin].found,
        equivalent=by_size[0.0].equivalent,
        blocks_if_equal=equal,
        blocks_if_detectable=there,
        hours_if_equal=None if block_s is None else equal * block_s / 3600,
        hours_if_detectable=None if block_s is None else there * block_s / 3600,
    )


def _block_s(spec: Spec, data: TaskData, context: Mapping[str, Any], pace_s: float | None) -> float | None:
    """Seconds of one worker for one block of all arms in a context."""
    if pace_s is None:
        return None
    block = [slot for slot in confirming(spec) if slot.index == 0 and slot.context == context]
    return sum(_passes(spec, data, slot) for slot in block) * pace_s


def _spreads(
    spec: Spec, data: TaskData, past: StudyTables | None, context: Mapping[str, Any]
) -> tuple[Source, Spreads]:
    """Of the contrast that varies most, by earlier validation predictions in this context; or as presumed."""
    effects = [] if past is None else _past_effects(spec, data, past, context)
    if past is None or not effects:
        n_positive = data.val_labels.sum(axis=0)[both_outcomes(data.val_labels)]
        patients = presumed_patient_sd(n_positive, len(data.val_rows))  # fold 10 is like fold 9
        return Source.PRESUMED, Spreads(_PRESUMED_SEEDS_SD, patients)
    widest = max(effects, key=lambda each: each.sd_seeds**2 / spec.budget.replicates + each.sd_patients**2)
    is_own = past.name.partition("@")[0] == spec.name.partition("@")[0]
    spreads = Spreads(widest.sd_seeds, widest.sd_patients, widest.df_patients)
    return Source.PILOT if is_own else Source.PAST, spreads


def _past_effects(spec: Spec, data: TaskData, past: StudyTables, context: Mapping[str, Any]) -> list[Effect]:
    """Of every contrast whose arms have two blocks there, by validation scores: the test fold stays closed."""
    slots = past.slots[(past.slots["phase"] == CONFIRM) & (past.slots["state"] == "done")]
    slots = slots[[json.loads(text) == dict(context) for text in slots["context"]]]
    needed = {arm for contrast in spec.contrasts for arm in contrast.weights()}
    predictions: dict[str, dict[int, Any]] = {}
    for arm, block, slot_id in zip(slots["arm"], slots["index"], slots["slot_id"], strict=True):
        if arm in needed:
            predicted = past.probabilities(int(slot_id), split="val")
            if predicted.shape != data.val_labels.shape:
                return []
            predictions.setdefault(str(arm), {})[int(block)] = predicted
    if not predictions:
        return []
    classes = both_outcomes(data.val_labels)
    evaluation = evaluate(predictions, data.val_labels, data.val_patients, classes=classes)
    effects = []
    for contrast in spec.contrasts:
        weights = contrast.weights()
        if set(weights) <= set(predictions) and len(blocks := evaluation.complete(weights)) >= 2:
            effects.append(evaluation.units("auroc", weights, blocks).effect())
    return effects
