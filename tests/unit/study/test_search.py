"""Proposals: the same for every worker, equal for every arm, within the arm's space."""

import dataclasses
from typing import Any

import pytest
from planned_search import PLAIN_NUMBERS, stored, tuning

from ablate.store.slot import Past, Slot
from ablate.study.confirmation import choose
from ablate.study.file import load_spec
from ablate.study.plan import plan
from ablate.study.sampler import Sampler
from ablate.study.search import propose
from ablate.study.spec import Spec
from ablate.train.params import Params


def slots_of(spec: Spec, arm: str) -> list[Slot]:
    return [stored(slot) for slot in plan(spec) if slot.arm == arm and slot.phase == "search"]


def past(params: dict[str, Any], *, stopped_epoch: int | None = None) -> Past:
    """A finished trial, the better the smaller its learning rate."""
    scores = {"val_auroc": 1 - params["ft_lr"], "val_auprc": params["ft_lr"]}
    return Past(params=params, scores=scores, stopped_epoch=stopped_epoch)


def history(spec: Spec, arm: str, n: int) -> list[Past]:
    """``n`` finished trials of which those with a small learning rate are better."""
    return [past(propose(spec, slot, [])) for slot in slots_of(spec, arm)[:n]]


SPEC = load_spec(
    PLAIN_NUMBERS, overrides=["budget.search_trials=24", "budget.generation=12", "context.data_fraction=[0.1]"]
)


@pytest.mark.parametrize("arm", list(SPEC.arms))
def test_every_proposal_lies_in_the_space_of_its_arm_and_can_be_trained(arm: str) -> None:
    seen = history(SPEC, arm, 12)
    for slot in slots_of(SPEC, arm):
        params = propose(SPEC, slot, seen if slot.generation else [])
        Params.from_dict(params)
        assert params["data_fraction"] == 0.1
        assert params["batch_size"] == 64
        for name, domain in SPEC.arm_space(arm).items():
            assert params[name] in domain, (name, params[name])


def test_a_proposal_follows_from_the_index_and_the_history_alone() -> None:
    seen = history(SPEC, "lp_sd", 12)
    for slot in slots_of(SPEC, "lp_sd"):
        assert propose(SPEC, slot, seen) == propose(SPEC, slot, seen)
    late = [slot for slot in slots_of(SPEC, "lp_sd") if slot.generation == 1]
    assert len({str(propose(SPEC, slot, seen)) for slot in late}) == len(late)


def test_later_generations_go_where_the_objective_was_better() -> None:
    seen = history(SPEC, "ft", 12)
    early = sorted(one.params["ft_lr"] for one in seen)
    late = sorted(propose(SPEC, slot, seen)["ft_lr"] for slot in slots_of(SPEC, "ft") if slot.generation == 1)
    assert late[len(late) // 2] < early[len(early) // 2]
    upwards = SPEC.model_copy(update={"objectives": SPEC.objectives.model_copy(update={"select": "val_auprc"})})
    best = sorted(propose(upwards, slot, seen)["ft_lr"] for slot in slots_of(SPEC, "ft") if slot.generation == 1)
    assert best[len(best) // 2] > early[len(early) // 2]


def test_arms_start_from_the_same_values_of_what_they_share() -> None:
    for one, other in zip(slots_of(SPEC, "ft")[:12], slots_of(SPEC, "lp_sd")[:12], strict=True):
        assert propose(SPEC, one, [])["ft_lr"] == propose(SPEC, other, [])["ft_lr"]


def test_the_first_trial_is_the_recipe_as_it_stands() -> None:
    first = propose(SPEC, slots_of(SPEC, "ft")[0], [])
    assert first["ft_lr"] == Params().ft_lr
    assert first["drop_path_rate"] == 0.0


def test_params_that_are_known_to_be_good_come_first_in_the_arms_that_search_them() -> None:
    starts = "search.start=[{params={ft_lr=2e-3, probe_epochs=30}}, {params={drop_path_rate=0.2}, arms=['lp_sd']}]"
    spec = load_spec(PLAIN_NUMBERS, overrides=[starts, "context.data_fraction=[0.1]"])
    first = {arm: [propose(spec, slot, []) for slot in slots_of(spec, arm)[:2]] for arm in spec.arms}
    assert [first["ft"][0][name] for name in ("ft_lr", "probe_epochs", "drop_path_rate")] == [2e-3, 0, 0.0]
    assert [first["lp_sd"][0][name] for name in ("ft_lr", "probe_epochs")] == [2e-3, 30]
    assert [first["lp_sd"][1][name] for name in ("ft_lr", "drop_path_rate")] == [Params().ft_lr, 0.2]
    assert first["sd"][1]["drop_path_rate"] != 0.2


@pytest.mark.parametrize("sampler", ["gp", "qmc", "random"])
def test_any_sampler_proposes_from_finished_generations_alone(sampler: str) -> None:
    spec = load_spec(
        PLAIN_NUMBERS, overrides=[f"search.sampler={sampler!r}", "budget={search_trials=12, generation=4}"]
    )
    slots = [slot for slot in slots_of(spec, "lp_sd") if slot.context == {"data_fraction": 0.1}]
    seen: list[Past] = []
    for generation in range(3):
        members = [slot for slot in slots if slot.generation == generation]
        found = [propose(spec, slot, seen) for slot in members]
        assert found[::-1] == [propose(spec, slot, seen) for slot in reversed(members)]
        assert len({str(params) for params in found}) == len(members)
        seen += [
            dataclasses.replace(past(params), index=slot.index) for params, slot in zip(found, members, strict=True)
        ]


def test_an_arm_of_which_every_early_trial_failed_is_still_searched() -> None:
    late = [propose(SPEC, slot, []) for slot in slots_of(SPEC, "lp_sd") if slot.generation == 1]
    assert len({str(params) for params in late}) == len(late)


def test_latin_puts_one_trial_into_each_cell_of_every_parameter() -> None:
    spec = load_spec("search")
    n = spec.budget.most_trials
    trials = [propose(spec, slot, []) for slot in slots_of(spec, "all")]
    low, high = 0.0, 0.5
    cells = sorted(int((params["drop_path_rate"] - low) / (high - low) * n) for params in trials)
    assert cells == list(range(n))
    for params in trials:
        Params.from_dict(params)


def test_the_best_trial_on_validation_is_chosen() -> None:
    seen = history(SPEC, "ft", 12)
    chosen = choose(SPEC, "ft", {"data_fraction": 0.1}, tuning(SPEC, "ft", {"data_fraction": 0.1}, seen))
    assert chosen is not None
    assert chosen["params"]["ft_lr"] == min(one.params["ft_lr"] for one in seen)
    assert chosen["n_trials"] == 12


def test_a_trial_that_was_stopped_early_is_never_chosen() -> None:
    seen = history(SPEC, "ft", 12)
    best = min(seen, key=lambda one: one.params["ft_lr"])
    seen[seen.index(best)] = dataclasses.replace(best, stopped_epoch=1)
    chosen = choose(SPEC, "ft", {"data_fraction": 0.1}, tuning(SPEC, "ft", {"data_fraction": 0.1}, seen))
    assert chosen is not None
    assert chosen["params"]["ft_lr"] == min(one.params["ft_lr"] for one in seen if one is not best and one.is_whole)
    assert chosen["n_trials"] == 12


def test_the_sampler_keeps_away_from_where_trials_were_stopped_early() -> None:
    """Those of small learning rates have the better scores, but they are scores of a training that was cut short."""
    seen = history(SPEC, "ft", 12)
    middle = sorted(one.params["ft_lr"] for one in seen)[6]
    cut = [dataclasses.replace(one, stopped_epoch=1 if one.params["ft_lr"] < middle else None) for one in seen]
    late = [slot for slot in slots_of(SPEC, "ft") if slot.generation == 1]
    n_low = [sum(propose(SPEC, slot, known)["ft_lr"] < middle for slot in late) for known in (seen, cut)]
    assert n_low[0] >= 9
    assert n_low[1] <= 3


def test_without_a_search_the_recipe_itself_is_confirmed() -> None:
    spec = load_spec(PLAIN_NUMBERS, overrides=["budget.search_trials=0"])
    chosen = choose(spec, "sd", {"data_fraction": 0.1}, None)
    assert chosen is not None
    Params.from_dict(chosen["params"])
    assert chosen["params"]["probe_epochs"] == 0
    assert chosen["params"]["drop_path_rate"] > 0


@pytest.mark.parametrize("sampler", ["posterior", "tpe"])
def test_the_sampler_keeps_away_from_where_trials_diverged(sampler: str) -> None:
    spec = SPEC.model_copy(update={"search": SPEC.search.model_copy(update={"sampler": Sampler(sampler)})})
    seen = history(spec, "ft", 12)
    rates = sorted(one.params["ft_lr"] for one in seen)
    alive = [one for one in seen if one.params["ft_lr"] > rates[5]]
    dead = [one.params for one in seen if one.params["ft_lr"] <= rates[5]]
    late = [slot for slot in slots_of(spec, "ft") if slot.generation == 1]
    n_low = [sum(propose(spec, slot, alive, diverged)["ft_lr"] <= rates[5] for slot in late) for diverged in ([], dead)]
    assert n_low[0] >= 6
    assert n_low[1] <= 2
