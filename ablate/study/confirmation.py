"""The confirmation: params chosen on validation scores, sealed before the first look at the test fold."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import product
from typing import Any, TypeGuard

from ablate.domain import Scalar
from ablate.errors import StoreError
from ablate.store.slot import Slot, SlotState
from ablate.store.store import Store
from ablate.study.ablation_path import mixed_params
from ablate.study.design import Design
from ablate.study.looks import next_blocks
from ablate.study.plan import CONFIRM, SEARCH, chain, contexts
from ablate.study.search import fixed_params, start_values
from ablate.study.spec import Spec
from ablate.study.tuning import Tuning, due, obstacles, tunings

Choice = dict[str, Any]  # params, the validation score that chose them, and how their search stood


class Step(Enum):
    """What ``advance`` did."""

    NONE = "nothing was due"
    GREW = "searches go on with another generation, or arms with the blocks up to the next look"
    SEALED = "the study is sealed"
    BLOCKED = "the search is over, but it is no ground for a seal"


def advance(store: Store, spec: Spec, phases: Sequence[str] = (SEARCH, CONFIRM)) -> Step:
    """Plan what follows: another generation of a search, the seal where all are over and complete, further blocks.

    Any worker may call this at any time: what is due follows from finished generations alone, and is written once.

    Args:
        store: of the study.
        spec: the study.
        phases: those that the caller fills; without the confirmation nothing is sealed.
    """
    slots = store.slots(spec.name)
    if store.study(spec.name).seal is not None:
        blocks = next_blocks(store, spec, slots) if CONFIRM in phases else []
        store.extend(spec.name, blocks)
        return Step.GREW if blocks else Step.NONE
    if planned := due(store, spec, slots) if spec.budget.is_until_settled else []:
        store.extend(spec.name, planned)  # somebody else may have been faster, with the same slots
        return Step.GREW
    is_open = any(slot.phase == SEARCH and slot.state in (SlotState.WAITING, SlotState.LEASED) for slot in slots)
    if is_open or CONFIRM not in phases or not spec.budget.replicates:
        return Step.NONE
    searches = tunings(store, spec, slots)
    if obstacles(searches) or unchosen(spec, searches):
        return Step.BLOCKED
    return Step.SEALED if store.seal(spec.name, seal_document(spec, searches)) else Step.NONE


def seal_incomplete(store: Store, spec: Spec) -> None:
    """Seal a study though some of its search trials failed or were cancelled; the seal says so for ever.

    Raises:
        StoreError: its search goes on, or no trial of an arm ran to its end.
    """
    slots = store.slots(spec.name)
    if due(store, spec, slots) or any(
        slot.phase == SEARCH and slot.state in (SlotState.WAITING, SlotState.LEASED) for slot in slots
    ):
        raise StoreError(f"{spec.name}: cannot be sealed before its search is over; see `ablate status`")
    searches = tunings(store, spec, slots)
    if missing := unchosen(spec, searches):
        raise StoreError(f"{spec.name}: cannot be sealed; {'; '.join(missing)}")
    store.seal(spec.name, seal_document(spec, searches))


def unchosen(spec: Spec, searches: Sequence[Tuning]) -> list[str]:
    """Searches from which no params can be chosen, a sentence for each."""
    if not spec.budget.most_trials:
        return []
    return [
        f"{one.place}: none of its {one.n_planned} search trials ran to its end, {len(one.diverged)} diverged; "
        "change its space, or see `ablate status` and `ablate retry`"
        for one in searches
        if one.settlement is None
    ]


def confirm_params(spec: Spec, seal: Mapping[str, Any], slot: Slot) -> dict[str, Scalar]:
    """Params of a confirming slot: those that the seal holds for its arm, context and search."""
    chosen = seal["chosen"].get(chain(slot.arm, slot.context, slot.search))
    if chosen is None:
        raise StoreError(
            f"{spec.name}: the seal holds no params for {slot.arm} at {slot.context}; every search trial failed"
        )
    return dict(chosen["params"])


def seal_document(spec: Spec, searches: Sequence[Tuning]) -> dict[str, Any]:
    """What is decided before the test fold is opened: chosen params, contrasts and margins, and how the searches stood.

    Args:
        spec: the study.
        searches: its searches; none where nothing is searched.
    """
    by_chain = {one.chain: one for one in searches}
    chosen: dict[str, Any] = {}
    for context, search in product(contexts(spec), range(spec.budget.searches)):
        tuned = {
            arm: choose(spec, arm, context, by_chain.get(chain(arm, context, search))) for arm in spec.tuned_arms()
        }
        choices = _along_path(spec.design, spec.arms, tuned) if _is_path(spec.design) else tuned
        chosen |= {chain(arm, context, search): choice for arm, choice in choices.items() if choice is not None}
    document = {
        "chosen": chosen,
        "contrasts": [{"name": contrast.name, "weights": contrast.weights()} for contrast in spec.contrasts],
        "margin": spec.margin.model_dump(),
        "inference": spec.inference.sealed(),
        "select": spec.objectives.select,
        "replicates": spec.budget.replicates,
        "searches": spec.budget.searches,
        "spec_digest": spec.digest(),
    }
    return document | {"incomplete": missing} if (missing := obstacles(searches)) else document


def choose(spec: Spec, arm: str, context: Mapping[str, Any], tuning: Tuning | None) -> Choice | None:
    """Params of one arm in one context, or the recipe's start values where nothing is searched.

    A search that went on until it was settled chooses by the smoothed score; one of a fixed number of trials takes the
    best trial. A trial that was stopped early is never chosen: its score is not that of the whole training.

    Returns:
        ``params``, ``score`` and how the search stood; None if there was a search and all of it failed.
    """
    if not spec.budget.most_trials:
        fixed = fixed_params(spec, arm, context)
        searched = {name: domain for name, domain in spec.arm_space(arm).items() if name not in fixed}
        return {"params": fixed | start_values(spec.hyper_parameters, searched), "score": None, "n_trials": 0}
    if tuning is None or tuning.settlement is None:
        return None
    if spec.budget.is_until_settled:
        params, score = tuning.settlement.params, tuning.settlement.score
    else:
        select = spec.objectives.select
        best = max((past for past in tuning.history if past.is_whole), key=lambda past: past.scores[select])
        params, score = best.params, best.scores[select]
    return {"params": dict(params), "score": score, **tuning.document()}


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
