"""From a claim to something that a trainer can do: params, and for a confirmation the permit to open the test fold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.ecg.seal import Permit
from ablate.store.artifact import TEST_FOLD
from ablate.store.slot import Claim
from ablate.store.store import Store
from ablate.study.confirmation import confirm_params
from ablate.study.plan import CONFIRM
from ablate.study.reuse import asked, is_usable
from ablate.study.search import propose, rungs
from ablate.study.spec import Spec
from ablate.train.early_stopping import Rungs


@dataclass(frozen=True)
class Assignment:
    """A claimed slot with everything that decides its result.

    Attributes:
        twins: slots of other studies by the fingerprint of their results, which may be taken where it is ours.
        rungs: where a search trial ends early; None trains it to its end.
        wants_test_fold: the store has not got the test fold's labels yet.
    """

    claim: Claim
    params: Mapping[str, Any]
    permit: Permit | None = None
    rungs: Rungs | None = None
    twins: Mapping[str, int] = field(default_factory=dict)
    wants_test_fold: bool = False


def assign(store: Store, spec: Spec, claim: Claim, *, reuse: bool = False) -> Assignment:
    """Settle the params of a claimed slot and where it may end early, once for all its attempts.

    Args:
        store: of the study.
        spec: the study.
        claim: of one of its slots.
        reuse: look for finished slots of other studies that were asked for the same.

    Raises:
        StoreUnavailable: the store is away.
        LeaseLost: the claim is no longer ours.
        StoreError: the seal holds no params for the slot.
    """
    slot = claim.slot
    if slot.phase == CONFIRM:
        params = confirm_params(spec, store.study(spec.name).seal or {}, slot)
        if slot.params != params:
            store.set_params(claim, params, asked=asked(spec, slot, params))
        permit = store.open_test(claim)
        sealed_labels = store.read_artifact(spec.name, None, TEST_FOLD)
        assignment = Assignment(claim, params, permit, wants_test_fold=sealed_labels is None)
    else:
        assignment = _search(store, spec, claim)
    return replace(assignment, twins=_twins(store, spec, assignment)) if reuse else assignment


def _search(store: Store, spec: Spec, claim: Claim) -> Assignment:
    slot = claim.slot
    if slot.params is not None:
        return Assignment(claim, slot.params, rungs=None if slot.rungs is None else Rungs.from_document(slot.rungs))
    history = store.history(spec.name, slot.chain, below_generation=slot.generation)
    diverged = store.diverged(spec.name, slot.chain, below_generation=slot.generation)
    params = propose(spec, slot, history, diverged)
    early_stopping = rungs(spec, slot, params, history)
    rung_document = None if early_stopping is None else early_stopping.document()
    store.set_params(claim, params, rungs=rung_document, asked=asked(spec, slot, params))
    return Assignment(claim, params, rungs=early_stopping)


def _twins(store: Store, spec: Spec, assignment: Assignment) -> dict[str, int]:
    question = asked(spec, assignment.claim.slot, assignment.params)
    twins = store.twins(spec.name, [question])
    return {twin.fingerprint: twin.slot_id for twin in twins if is_usable(twin, rungs=assignment.rungs)}
