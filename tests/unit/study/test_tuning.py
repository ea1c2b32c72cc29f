"""Searches that go on until they are settled, and what may be sealed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from planned_search import PLAIN_NUMBERS, search_slots, stored, tuning

from ablate.errors import SpecError
from ablate.store.slot import Past, Slot, SlotState
from ablate.study.confirmation import seal_document, unchosen
from ablate.study.file import load_spec
from ablate.study.plan import chain, contexts, following, plan
from ablate.study.search import propose
from ablate.study.spec import Spec
from ablate.study.tuning import obstacles, tuning_of

UNTIL = "budget.search_trials={first = 8, most = 20, until = 'settled'}"
SPEC = load_spec(PLAIN_NUMBERS, overrides=[UNTIL, "margin.auroc=0.005", "budget.generation=4"])
CONTEXT = {"data_fraction": 0.1}


def finished(slots: Sequence[Slot], *, slope: float) -> list[Past]:
    """Trials whose score falls with the distance of ft_lr from the middle of its range, by ``slope`` a decade."""
    params = [propose(SPEC, replace(slot, generation=0), []) for slot in slots]
    scores = [0.9 - slope * abs(np.log10(each["ft_lr"] / 5.5e-4)) for each in params]
    return [
        Past(index=index, params=each, scores={"val_auroc": score, "val_auprc": score})
        for index, (each, score) in enumerate(zip(params, scores, strict=True))
    ]


def test_the_plan_holds_the_first_trials_and_the_rest_comes_by_generations() -> None:
    first = [slot for slot in plan(SPEC) if slot.chain == chain("ft", CONTEXT)]
    assert [slot.index for slot in first] == list(range(8))
    second = following(SPEC, chain("ft", CONTEXT), 8)
    assert [(slot.index, slot.generation) for slot in second] == [(8, 2), (9, 2), (10, 2), (11, 2)]
    assert following(SPEC, chain("ft", CONTEXT), 8) == second
    assert following(SPEC, chain("ft", CONTEXT), 20) == []
    places = [slot.ordinal for slot in plan(SPEC)] + [slot.ordinal for slot in second]
    assert len(set(places)) == len(places)


def test_a_study_of_plain_numbers_has_the_plan_that_it_had() -> None:
    spec = load_spec(PLAIN_NUMBERS)
    assert [slot.ordinal for slot in plan(spec)] == [slot.priority for slot in plan(spec)] == list(range(8 * 9))
    assert "searches" not in spec.document()["budget"]


def test_a_search_goes_on_while_more_of_it_is_worth_something() -> None:
    slots = search_slots(SPEC, "ft", CONTEXT)
    flat, steep = (tuning(SPEC, "ft", CONTEXT, finished(slots, slope=slope)) for slope in (1e-4, 0.2))
    assert flat.is_settled
    assert not flat.goes_on(SPEC)
    assert not steep.is_settled
    assert steep.goes_on(SPEC)


def test_nothing_is_decided_before_a_generation_is_over_or_after_it_was_cancelled() -> None:
    slots = search_slots(SPEC, "ft", CONTEXT)
    seen = finished(slots, slope=0.2)
    for state in (SlotState.WAITING, SlotState.LEASED, SlotState.CANCELLED):
        members = [*(replace(slot, state=SlotState.DONE) for slot in slots[:-1]), replace(slots[-1], state=state)]
        assert not tuning_of(SPEC, members, seen[:-1]).goes_on(SPEC)


def test_a_search_at_its_limit_ends_unsettled_and_the_seal_says_so() -> None:
    planned = [*search_slots(SPEC, "ft", CONTEXT)]
    while more := following(SPEC, chain("ft", CONTEXT), len(planned)):
        planned += [stored(slot) for slot in more]
    assert len(planned) == 20
    done = [replace(slot, state=SlotState.DONE) for slot in planned]
    rough = [
        replace(past, scores={"val_auroc": 0.8 + 0.1 * (index % 2), "val_auprc": 0.5})
        for index, past in enumerate(finished(planned, slope=0.2))
    ]
    one = tuning_of(SPEC, done, rough)
    assert not one.goes_on(SPEC)
    assert not one.is_settled
    choice = seal_document(SPEC, [one])["chosen"][one.chain]
    assert choice["is_settled"] is False
    assert choice["remaining_gain"] > 0.0025
    assert choice["n_trials"] == 20


def test_a_trial_that_diverged_is_a_result_and_any_other_that_is_missing_bars_the_seal() -> None:
    slots = [replace(slot, state=SlotState.DONE) for slot in search_slots(SPEC, "sd", CONTEXT)]
    seen = finished(slots, slope=1e-4)[:-1]
    params = {**seen[0].params, "ft_lr": 3e-3}
    diverged = replace(slots[-1], state=SlotState.FAILED, reason="diverged: the loss is nan", params=params)
    crashed = replace(slots[-1], state=SlotState.FAILED, reason="crashed: no word")
    assert obstacles([tuning_of(SPEC, [*slots[:-1], diverged], seen)]) == []
    found = [tuning_of(SPEC, [*slots[:-1], crashed], seen)]
    assert obstacles(found) == ["sd at data_fraction=0.1: 1 of 8 search trials failed or were cancelled"]
    assert seal_document(SPEC, found)["incomplete"] == obstacles(found)


def test_a_search_of_which_every_trial_failed_is_named() -> None:
    slots = [
        replace(slot, state=SlotState.FAILED, reason="diverged: the loss is nan", params={})
        for slot in search_slots(SPEC, "sd", CONTEXT)
    ]
    (sentence,) = unchosen(SPEC, [tuning_of(SPEC, slots, [])])
    assert sentence.startswith("sd at data_fraction=0.1: none of its 8 search trials ran to its end, 8 diverged")


def test_independent_searches_share_no_trial_and_the_blocks_are_dealt_out_among_them() -> None:
    spec = load_spec(PLAIN_NUMBERS, overrides=["budget.searches=3", "budget.replicates=7"])
    assert Spec.from_document(spec.document()) == spec
    searching = [slot for slot in plan(spec) if slot.phase == "search"]
    assert len(searching) == 3 * 4 * 8
    assert len({slot.key for slot in plan(spec)}) == len(plan(spec))
    assert len({slot.seed for slot in searching}) == 3
    confirming = [slot for slot in plan(spec) if slot.phase == "confirm" and slot.arm == "ft"]
    assert [slot.search for slot in confirming if slot.context == CONTEXT] == [0, 1, 2, 0, 1, 2, 0]
    proposals = [
        [propose(spec, slot, []) for slot in search_slots(spec, "lp", CONTEXT, search=search)][1:] for search in (0, 1)
    ]
    assert proposals[0] != proposals[1]
    alone = load_spec(PLAIN_NUMBERS, overrides=["budget.replicates=7"])
    assert [propose(alone, slot, []) for slot in search_slots(alone, "lp", CONTEXT)][1:] == proposals[0]


def test_the_seal_holds_params_for_each_search() -> None:
    spec = load_spec(PLAIN_NUMBERS, overrides=["budget.searches=2", "budget.replicates=4"])
    found = [
        tuning(spec, arm, context, finished(search_slots(spec, arm, context, search=search), slope=0.1), search=search)
        for context in contexts(spec)
        for arm in spec.arms
        for search in range(2)
    ]
    chosen = seal_document(spec, found)["chosen"]
    assert len(chosen) == 2 * 4 * 2
    assert {choice["search"] for choice in chosen.values()} == {0, 1}
    assert set(chosen) == {one.chain for one in found}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["budget.search_trials={first=8, most=4, until='settled'}", "margin.auroc=0.005"], "8 is above most, 4"),
        (["budget.search_trials={first=8, until='bored'}", "margin.auroc=0.005"], "'settled'"),
        ([UNTIL], "there is no \\[margin\\]"),
        ([UNTIL, "margin.auroc=0.005", "search.sampler='latin'"], "fixed number of trials"),
        (["budget.searches=6"], "6 searches need as many blocks at least; replicates = 5"),
        (["budget.searches=2", "budget.search_trials=0"], "2 searches without a trial"),
        (["budget.search_trials=-1"], "expected 0 to 10000"),
        (["budget.search_trials='many'"], "'many'"),
    ],
)
def test_what_could_not_work_is_refused_in_one_line(overrides: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(PLAIN_NUMBERS, overrides=overrides)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(PLAIN_NUMBERS)
    assert ": budget" in str(caught.value)
