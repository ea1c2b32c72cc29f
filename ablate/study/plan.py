"""The plan: every trial of a study as a slot, known before anything runs. The budget is the slots.

Why the seeds are as they are: replicate r has one seed in every arm and context, so that arms are compared on the same
data subset, head, batch order and drop-path noise. All search trials share one seed, which no replicate has: with one
for each trial, the luck of its data subset (0.008 of AUROC at a tenth of PTB-XL) chose the params, not their worth.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from ablate import seeds
from ablate.store.slot import PlannedSlot
from ablate.study.spec import Spec

SEARCH, CONFIRM = "search", "confirm"


def plan(spec: Spec) -> list[PlannedSlot]:
    """All slots of ``spec`` in the order in which they are best filled.

    Search comes before confirmation, an earlier generation before a later one and whole blocks before the next; within
    these, large contexts come first, since a long trial started last keeps every other worker waiting.
    """
    return [dataclasses.replace(slot, priority=place) for place, slot in enumerate([*_search(spec), *_confirm(spec)])]


def contexts(spec: Spec) -> list[dict[str, Any]]:
    """Every combination of the declared factors, largest values first; one empty context where there are none."""
    values = [
        sorted(given, key=lambda value: (str(type(value)), value), reverse=True) for given in spec.context.values()
    ]
    return [dict(zip(spec.context, combination, strict=True)) for combination in product(*values)]


def chain(arm: str, context: Mapping[str, Any]) -> str:
    """Name of what is tuned together: one arm in one context."""
    return f"{arm}|{json.dumps(dict(context), sort_keys=True)}"


def _search(spec: Spec) -> Iterator[PlannedSlot]:
    budget = spec.budget
    for index in range(budget.search_trials):
        for context, arm in product(contexts(spec), spec.tuned_arms()):
            yield _slot(spec, SEARCH, arm, context, index, generation=index // budget.generation)


def _confirm(spec: Spec) -> Iterator[PlannedSlot]:
    for replicate, context, arm in product(range(spec.budget.replicates), contexts(spec), spec.arms):
        yield _slot(spec, CONFIRM, arm, context, replicate, generation=0)


def _slot(spec: Spec, phase: str, arm: str, context: Mapping[str, Any], index: int, *, generation: int) -> PlannedSlot:
    place = ",".join(f"{name}={value}" for name, value in context.items()) or "-"
    return PlannedSlot(
        key=f"{phase}/{arm}/{place}/{index}",
        phase=phase,
        arm=arm,
        context=dict(context),
        index=index,
        generation=generation,
        seed=seeds.derive(spec.seed, phase, index) if phase == CONFIRM else seeds.derive(spec.seed, phase),
        params=None,
        chain=chain(arm, context) if phase == SEARCH else f"{CONFIRM}|{chain(arm, context)}",
    )
