"""From a claim to something that a trainer can do: params, and for a confirmation the permit to open the test fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.ecg.seal import Permit
from ablate.store.slot import Claim
from ablate.store.store import Store
from ablate.study.confirm import confirm_params
from ablate.study.plan import CONFIRM
from ablate.study.search import propose, rungs
from ablate.study.spec import Spec
from ablate.train.rung import Rungs
from ablate.worker.message import TEST_FOLD


@dataclass(frozen=True)
class Assignment:
    """A claimed slot with everything that decides its result.

    Attributes:
        rungs: where a search trial ends early; None trains it to its end.
        wants_test_fold: the store has not got the test fold's labels yet.
    """

    claim: Claim
    params: Mapping[str, Any]
    permit: Permit | None = None
    rungs: Rungs | None = None
    wants_test_fold: bool = False


def assign(store: Store, spec: Spec, claim: Claim) -> Assignment:
    """Settle the params of a claimed slot and where it may end early, once for all its attempts.

    Raises:
        StoreUnavailable: the store is away.
        LeaseLost: the claim is no longer ours.
        StoreError: the seal holds no params for the slot.
    """
    slot = claim.slot
    if slot.phase == CONFIRM:
        params = confirm_params(spec, store.study(spec.name).seal or {}, slot)
        if slot.params != params:
            store.set_params(claim, params)
        permit = store.open_test(claim)
        known = store.read_artifact(spec.name, None, TEST_FOLD)
        return Assignment(claim, params, permit, wants_test_fold=known is None)
    if slot.params is not None:
        return Assignment(claim, slot.params, rungs=None if slot.rungs is None else Rungs.from_document(slot.rungs))
    history = store.history(spec.name, slot.chain, below_generation=slot.generation)
    params, found = propose(spec, slot, history), rungs(spec, slot, history)
    store.set_params(claim, params, rungs=None if found is None else found.document())
    return Assignment(claim, params, rungs=found)
