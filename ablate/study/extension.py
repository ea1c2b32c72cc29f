"""Extensions: blocks added to a sealed study after its last look, each a further look that is charged as one."""

import json

from ablate.errors import StoreError
from ablate.store.slot import SlotState
from ablate.store.store import Store
from ablate.study.looks import judged_so_far, next_blocks, still_needed
from ablate.study.plan import CONFIRM, confirming
from ablate.study.seal import Seal
from ablate.study.spec import Spec

_UNFINISHED = (SlotState.WAITING, SlotState.LEASED, SlotState.CANCELLED)


def extend(store: Store, spec: Spec, most: int) -> int:
    """Plan blocks up to ``most`` for every arm that an undecided contrast needs, and write that into the seal.

    Returns:
        Trials that were added.

    Raises:
        StoreError: the study is not sealed, its looks are not over, its seal keeps no error for a further look, no
            contrast is open, or predictions on which the look would rest are gone.
    """
    name, document = spec.name, store.study(spec.name).seal
    if document is None:
        raise StoreError(f"{name}: not sealed, so there is nothing to extend; set budget.replicates = {most} instead")
    seal = Seal.from_document(document)
    last = seal.extensions[-1] if seal.extensions else spec.budget.replicates
    if most <= last:
        raise StoreError(f"{name}: --replicates {most}, but {last} are planned already; expected more")
    if not seal.inference.later:
        raise StoreError(
            f"{name}: sealed with inference.later = 0, so that its looks have spent the whole level and further blocks "
            "could claim nothing; declare such as later = 0.2 before a study is sealed"
        )
    slots = [slot for slot in store.slots(name) if slot.phase == CONFIRM]
    if any(slot.state in _UNFINISHED for slot in slots) or next_blocks(store, spec, slots):
        raise StoreError(f"{name}: its last look is not over; `ablate run {name}` goes on with it")
    if gone := store.without_predictions(name):
        raise StoreError(
            f"{name}: cannot be extended, since the predictions of {len(gone)} confirming trials are gone, such as "
            f"{gone[0]}; restore the database from a backup"
        )
    needed = still_needed(judged_so_far(store, spec, slots), spec)
    if not needed:
        raise StoreError(f"{name}: every contrast is decided, or lacks blocks that failed; further ones change nothing")
    longer = spec.model_copy(update={"budget": spec.budget.model_copy(update={"replicates": most})})
    planned = [slot for slot in confirming(longer) if (json.dumps(slot.context, sort_keys=True), slot.arm) in needed]
    return store.extend_sealed(name, [*seal.extensions, most], planned)
