"""Slots and searches as the store would give them, from a study's own plan."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablate.store.slot import Past, PlannedSlot, Slot, SlotState
from ablate.study.plan import SEARCH, chain, plan
from ablate.study.spec import Spec
from ablate.study.tuning import Tuning, tuning_of

# Four arms, four search trials, five blocks, two contexts; what its digest was before searches could settle.
PLAIN_NUMBERS = "tests/studies/plain_numbers.toml"


def stored(planned: PlannedSlot, *, state: SlotState = SlotState.LEASED, reason: str | None = None) -> Slot:
    """A planned slot in the store, at its first attempt."""
    return Slot(
        id=1 + (planned.ordinal or 0), key=planned.key, phase=planned.phase, arm=planned.arm, context=planned.context,
        search=planned.search, index=planned.index, generation=planned.generation, chain=planned.chain,
        seed=planned.seed, params=planned.params, state=state, attempts=1, failures=0, reason=reason,
    )  # fmt: skip


def search_slots(spec: Spec, arm: str, context: Mapping[str, Any], *, search: int = 0) -> list[Slot]:
    """Slots of one search that are planned at the start."""
    name = chain(arm, context, search)
    return [stored(slot) for slot in plan(spec) if slot.phase == SEARCH and slot.chain == name]


def tuning(spec: Spec, arm: str, context: Mapping[str, Any], history: Sequence[Past], *, search: int = 0) -> Tuning:
    """A search of which exactly the trials of ``history`` are done and none is missing."""
    slots = [replace(slot, state=SlotState.DONE) for slot in search_slots(spec, arm, context, search=search)]
    return tuning_of(spec, slots[: len(history)] or slots[:1], history)
