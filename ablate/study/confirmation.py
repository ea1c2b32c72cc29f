"""The confirmation: params chosen on validation scores, sealed before the first look at the test fold."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from ablate.domain import Scalar
from ablate.errors import StoreError
from ablate.store.slot import Slot, SlotState
from ablate.store.store import Store
from ablate.study.ablation_path import mixed_params
from ablate.study.design import Design
from ablate.study.plan import SEARCH, chain, contexts
from ablate.study.search import History, settled, start_values
from ablate.study.spec import Spec

Choice = dict[str, Any]  # params, the validation score that chose them, and among how many trials


def confirm_params(spec: Spec, seal: Mapping[str, Any], slot: Slot) -> dict[str, Scalar]:
    """Params of a confirming slot: those that the seal holds for its arm and context."""
    chosen = seal["chosen"].get(chain(slot.arm, slot.context))
    if chosen is None:
        raise StoreError(
            f"{spec.name}: the seal holds no params for {slot.arm} at {slot.context}; every search trial failed"
        )
    return dict(chosen["params"])


def advance(store: Store, spec: Spec) -> bool:
    """Seal the study if its search is over and that has not been done; whether it was done now.

    Any worker may call this at any time: the seal is written once, and what it says follows from the search alone.
    """
    if not spec.budget.replicates or store.study(spec.name).seal is not None:
        return False
    unfinished = {SlotState.WAITING, SlotState.LEASED}
    if any(slot.phase == SEARCH and slot.state in unfinished for slot in store.slots(spec.name)):
        return False
    return store.seal(spec.name, seal_document(spec, histories(store, spec)))


def histories(store: Store, spec: Spec) -> dict[str, History]:
    """All finished search trials, by arm and context."""
    chains = [chain(arm, context) for context in contexts(spec) for arm in spec.tuned_arms()]
    return {name: store.history(spec.name, name, below_generation=spec.budget.search_trials + 1) for name in chains}


def seal_document(spec: Spec, finished: Mapping[str, History]) -> dict[str, Any]:
    """What is decided before the test fold is opened: chosen params, contrasts and margins."""
    chosen: dict[str, Any] = {}
    for context in contexts(spec):
        tuned = {arm: choose(spec, arm, context, finished[chain(arm, context)]) for arm in spec.tuned_arms()}
        choices = _along_path(spec.design, spec.arms, tuned) if _is_path(spec.design) else tuned
        chosen |= {chain(arm, context): choice for arm, choice in choices.items() if choice is not None}
    return {
        "chosen": chosen,
        "contrasts": [{"name": contrast.name, "weights": contrast.weights()} for contrast in spec.contrasts],
        "margin": spec.margin.model_dump(),
        "select": spec.objectives.select,
        "replicates": spec.budget.replicates,
        "spec_digest": spec.digest(),
    }


def choose(spec: Spec, arm: str, context: Mapping[str, Any], history: History) -> Choice | None:
    """The best finished search trial, or the recipe's start values where nothing is searched.

    A trial that was stopped early is never chosen: its score is not that of the whole training.

    Returns:
        ``params`` and ``score``; None if there was a search and all of it failed.
    """
    if not spec.budget.search_trials:
        fixed = settled(spec, arm, context)
        searched = {name: domain for name, domain in spec.arm_space(arm).items() if name not in fixed}
        return {"params": fixed | start_values(searched), "score": None, "n_trials": 0}
    select = spec.objectives.select
    best = max((past for past in history if past.is_whole), key=lambda past: past.scores[select], default=None)
    if best is None:
        return None
    return {"params": dict(best.params), "score": best.scores[select], "n_trials": len(history)}


def _is_path(design: Design | None) -> TypeGuard[Design]:
    return design is not None and design.kind == "path"


def _along_path(design: Design, arms: Iterable[str], tuned: Mapping[str, Choice | None]) -> dict[str, Choice | None]:
    """What each step of an ablation path takes from its two tuned ends; nothing where one of them failed."""
    without, whole = (tuned[end] for end in design.endpoints())
    if without is None or whole is None:
        return dict(tuned)
    ends = without["params"], whole["params"]
    steps = {arm: {"params": mixed_params(design, arm, ends), "score": None, "n_trials": 0} for arm in arms}
    return {**steps, **tuned}
