"""Blocks added until the answer is there: after each look, those that an undecided contrast still needs.

What goes on follows from finished blocks up to the look alone, so any worker may ask at any time, with any number of
others, and plans the same slots.
"""

import json
from collections.abc import Sequence

from ablate.stats.contrast import Contrast
from ablate.stats.evaluation import Evaluation
from ablate.stats.judge import judge
from ablate.store.slot import PlannedSlot, Slot, SlotState
from ablate.store.store import Store
from ablate.study.confirmed import Replicate, counts, evaluate_confirmed
from ablate.study.plan import CONFIRM, confirming, contexts
from ablate.study.seal import Seal, declared
from ablate.study.spec import Spec

_MAY_COME = (SlotState.WAITING, SlotState.LEASED, SlotState.CANCELLED)


def next_blocks(store: Store, spec: Spec, slots: Sequence[Slot]) -> list[PlannedSlot]:
    """Slots up to the next look, for what an undecided contrast needs; none before a look is over.

    Nor are there any while slots are cancelled: their arms would be left out for ever.
    """
    confirming_slots = [slot for slot in slots if slot.phase == CONFIRM]
    n_planned = 1 + max((slot.index for slot in confirming_slots), default=-1)
    later = [look for look in spec.inference.looks if look > n_planned]
    if not later or not n_planned or any(slot.state in _MAY_COME for slot in confirming_slots):
        return []
    needed = still_needed(judged_so_far(store, spec, confirming_slots), spec)
    return [
        slot
        for slot in confirming(spec)
        if n_planned <= slot.index < later[0] and (json.dumps(slot.context, sort_keys=True), slot.arm) in needed
    ]


def look_lines(spec: Spec, slots: Sequence[Slot]) -> list[str]:
    """A sentence for each context at each look that was followed by further blocks: what goes on, and what does not."""
    lines = []
    for look in spec.inference.looks[:-1]:
        beyond = {
            (json.dumps(slot.context, sort_keys=True), slot.arm)
            for slot in slots
            if slot.phase == CONFIRM and slot.index == look
        }
        for context in contexts(spec) if beyond else ():
            arms = {arm for place, arm in beyond if place == json.dumps(context, sort_keys=True)}
            over = [of.name for of in spec.contrasts if not set(of.weights()) <= arms]
            goes_on = [of.name for of in spec.contrasts if set(of.weights()) <= arms]
            where = "".join(f", {name} = {value}" for name, value in context.items())
            lines.append(
                f"look at {look} blocks{where}: {', '.join(goes_on) or 'nothing'} undecided, more blocks; "
                f"{', '.join(over) or 'nothing'} decided or without a prospect"
            )
    return lines


def judged_so_far(store: Store, spec: Spec, slots: Sequence[Slot]) -> list[Contrast]:
    """Every contrast whose blocks are all there."""
    seal = Seal.from_document(store.study(spec.name).seal or {})
    tables = store.tables(spec.name)
    evaluations: dict[str, Evaluation] = {}
    refused: list[tuple[str, str]] = []
    for context in contexts(spec):
        key = json.dumps(context, sort_keys=True)
        here = [slot for slot in slots if slot.context == context]
        replicates = [Replicate(slot.arm, slot.index, slot.id, slot.state) for slot in here]
        lost = {one.arm for one in replicates if not counts(seal.inference, one.state)}
        refused += [(key, contrast.name) for contrast in seal.contrasts if lost & set(contrast.weights())]
        arms = [arm for arm in spec.arms if arm not in lost and any(one.arm == arm for one in replicates)]
        evaluation = evaluate_confirmed(tables, spec, seal.inference, replicates, arms) if arms else None
        if evaluation is not None:
            evaluations[key] = evaluation
    return judge(
        declared(spec, seal), evaluations, refused=refused, unsettled=unsettled_arms(spec, seal), is_over=False
    )


def still_needed(contrasts: Sequence[Contrast], spec: Spec) -> set[tuple[str, str]]:
    """Contexts and arms of the contrasts that are undecided by AUROC, and have a prospect of being decided."""
    weights = {contrast.name: contrast.weights() for contrast in spec.contrasts}
    return {
        (json.dumps(dict(one.context), sort_keys=True), arm)
        for one in contrasts
        if one.metric == "auroc" and not one.is_decided and not one.prospect < spec.inference.futility
        for arm in weights[one.name]
    }


def unsettled_arms(spec: Spec, seal: Seal) -> dict[str, tuple[str, ...]]:
    """Arms by context whose search was to settle and did not; none where several searches are judged."""
    if not spec.budget.is_until_settled or spec.budget.searches > 1:
        return {}
    by_context: dict[str, tuple[str, ...]] = {}
    for context in contexts(spec):
        choices = {arm: seal.choice(arm, context) for arm in spec.arms}
        arms = tuple(arm for arm, choice in choices.items() if choice is not None and choice.is_settled is False)
        by_context[json.dumps(context, sort_keys=True)] = arms
    return by_context
