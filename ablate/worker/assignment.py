"""From a claim to something that a trainer can do: params, and for a confirmation the permit to open the test fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.ecg.seal import Permit
from ablate.store.slot import Claim
from ablate.store.store import Store
from ablate.study.confirm import confirm_params
from ablate.study.plan import CONFIRM
from ablate.study.search import propose
from ablate.study.spec import Spec
from ablate.worker.message import TEST_FOLD


@dataclass(frozen=True)
class Assignment:
    """A claimed slot with everything that decides its result.

    Attributes:
        wants_test_fold: the store has not got the test fold's labels yet.
    """

    claim: Claim
    params: Mapping[str, Any]
    permit: Permit | None = None
    wants_test_fold: bool = False


def assign(store: Store, spec: Spec, claim: Claim) -> Assignment:
    """Settle the params of a claimed slot, once for all its attempts.

    Raises:
        StoreUnavailable: the store is away.
        LeaseLost: the claim is no longer ours.
        StoreError: the seal holds no params for the slot.
    """
    slot = claim.slot
    if slot.phase == CONFIRM:
        params = confirm_params(spec, store.study(spec.name).seal or {}, slot)
        _settle(store, claim, params)
        permit = store.open_test(claim)
        known = store.read_artifact(spec.name, None, TEST_FOLD)
        return Assignment(claim, params, permit, wants_test_fold=known is None)
    if slot.params is not None:
        return Assignment(claim, slot.params)
    history = store.history(spec.name, slot.chain, below_generation=slot.generation)
    params = propose(spec, slot, history)
    _settle(store, claim, params)
    return Assignment(claim, params)


def _settle(store: Store, claim: Claim, params: Mapping[str, Any]) -> None:
    if claim.slot.params != params:
        store.set_params(claim, dict(params))
