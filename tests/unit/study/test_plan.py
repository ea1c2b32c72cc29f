"""The plan: which slots, in which order, with which seeds."""

from collections import Counter

from planned_search import PLAIN_NUMBERS

from ablate.study.file import load_spec
from ablate.study.plan import contexts, plan


def test_the_budget_is_the_slots() -> None:
    spec = load_spec(PLAIN_NUMBERS)
    slots = plan(spec)
    cells = len(spec.arms) * len(spec.context["data_fraction"])
    wanted = {"search": cells * spec.budget.search_trials, "confirm": cells * spec.budget.replicates}
    assert Counter(slot.phase for slot in slots) == wanted
    assert len({slot.key for slot in slots}) == len(slots)


def test_a_block_shares_its_seed_across_arms_and_contexts_and_no_other_slot_has_it() -> None:
    confirm = [slot for slot in plan(load_spec(PLAIN_NUMBERS)) if slot.phase == "confirm"]
    blocks = {slot.index: {other.seed for other in confirm if other.index == slot.index} for slot in confirm}
    assert all(len(seeds) == 1 for seeds in blocks.values())
    assert len(set.union(*blocks.values())) == len(blocks)


def test_search_trials_differ_by_their_params_alone_and_share_no_seed_with_the_confirmation() -> None:
    slots = plan(load_spec(PLAIN_NUMBERS))
    searched = {slot.seed for slot in slots if slot.phase == "search"}
    assert len(searched) == 1
    assert not searched & {slot.seed for slot in slots if slot.phase == "confirm"}


def test_search_goes_before_confirmation_generations_in_order_and_whole_blocks_first() -> None:
    slots = sorted(plan(load_spec(PLAIN_NUMBERS)), key=lambda slot: slot.priority)
    assert len({slot.priority for slot in slots}) == len(slots)
    phases = [slot.phase for slot in slots]
    assert phases == sorted(phases, reverse=True)
    confirm = [slot.index for slot in slots if slot.phase == "confirm"]
    assert confirm == sorted(confirm)
    search = [slot.generation for slot in slots if slot.phase == "search"]
    assert search == sorted(search)


def test_large_contexts_come_first_within_a_block() -> None:
    assert [context["data_fraction"] for context in contexts(load_spec(PLAIN_NUMBERS))] == [1.0, 0.1]


def test_an_arm_is_tuned_apart_from_the_others() -> None:
    slots = [slot for slot in plan(load_spec(PLAIN_NUMBERS)) if slot.phase == "search"]
    assert {slot.arm for slot in slots if slot.chain == slots[0].chain} == {slots[0].arm}
    assert len({slot.chain for slot in slots}) == 8
