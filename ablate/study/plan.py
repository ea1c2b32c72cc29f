"""The plan: every trial of a study as a slot. The budget is the slots.

Why the seeds are as they are: replicate r has one seed in every arm and context, so that arms are compared on the same
data subset, head, batch order and drop-path noise. All trials of a search share one seed, which no replicate has: with
one for each trial, the luck of its data subset (0.008 of AUROC at a tenth of PTB-XL) chose the params, not their worth.
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
    """The slots of ``spec`` that are known before anything runs, in the order in which they are best filled.

    Search comes before confirmation, an earlier generation before a later one and whole blocks before the next; within
    these, large contexts come first, since a long trial started last keeps every other worker waiting. A search that
    goes on until it is settled has its first trials here, a confirmation with looks the blocks up to the first one;
    ``following`` and ``confirming`` plan more.
    """
    n_first = spec.budget.first_trials
    n_blocks = spec.inference.looks[0] if spec.inference.looks else spec.budget.replicates
    return [slot for slot in _all(spec) if slot.index < (n_blocks if slot.phase == CONFIRM else n_first)]


def following(spec: Spec, chain: str, n_planned: int) -> list[PlannedSlot]:
    """The next generation of a search of which ``n_planned`` trials are planned; none where it is at its limit."""
    end = min(spec.budget.most_trials, (n_planned // spec.budget.generation + 1) * spec.budget.generation)
    return [slot for slot in _all(spec) if slot.chain == chain and n_planned <= slot.index < end]


def confirming(spec: Spec) -> list[PlannedSlot]:
    """Every confirming slot that there can be, whole blocks before the next."""
    return [slot for slot in _all(spec) if slot.phase == CONFIRM]


def _all(spec: Spec) -> list[PlannedSlot]:
    """Every slot that there can be, each with its place."""
    slots = enumerate([*_search(spec), *_confirm(spec)])
    return [dataclasses.replace(slot, priority=place, ordinal=place) for place, slot in slots]


def contexts(spec: Spec) -> list[dict[str, Any]]:
    """Every combination of the declared factors, largest values first; one empty context where there are none."""
    values = [
        sorted(given, key=lambda value: (str(type(value)), value), reverse=True) for given in spec.context.values()
    ]
    return [dict(zip(spec.context, combination, strict=True)) for combination in product(*values)]


def chain(arm: str, context: Mapping[str, Any], search: int = 0) -> str:
    """Name of what is tuned together: one arm in one context, in one of its independent searches."""
    return f"{arm}|{json.dumps(dict(context), sort_keys=True)}" + (f"|{search}" if search else "")


def _search(spec: Spec) -> Iterator[PlannedSlot]:
    budget = spec.budget
    for index, search in product(range(budget.most_trials), range(budget.searches)):
        for context, arm in product(contexts(spec), spec.tuned_arms()):
            yield _slot(spec, SEARCH, arm, context, search, index, generation=index // budget.generation)


def _confirm(spec: Spec) -> Iterator[PlannedSlot]:
    """Blocks are dealt out among the searches, so that each search's params are confirmed on blocks of their own."""
    for replicate, context, arm in product(range(spec.budget.replicates), contexts(spec), spec.arms):
        yield _slot(spec, CONFIRM, arm, context, replicate % spec.budget.searches, replicate, generation=0)


def _slot(
    spec: Spec, phase: str, arm: str, context: Mapping[str, Any], search: int, index: int, *, generation: int
) -> PlannedSlot:
    place = ",".join(f"{name}={value}" for name, value in context.items()) or "-"
    number = f"{search}.{index}" if phase == SEARCH and search else str(index)
    is_search = phase == SEARCH
    return PlannedSlot(
        key=f"{phase}/{arm}/{place}/{number}",
        phase=phase,
        arm=arm,
        context=dict(context),
        search=search,
        index=index,
        generation=generation,
        seed=seeds.derive(search_seed(spec, search), SEARCH) if is_search else seeds.derive(spec.seed, phase, index),
        params=None,
        chain=chain(arm, context, search) if is_search else f"{CONFIRM}|{chain(arm, context)}",
    )


def search_seed(spec: Spec, search: int) -> int:
    """The seed of all that is random in one of the independent searches, the same in every arm."""
    return seeds.derive(spec.seed, "independent search", search) if search else spec.seed
