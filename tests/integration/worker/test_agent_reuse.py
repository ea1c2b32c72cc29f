"""Slots that another study has filled with the same are offered, and taken where somebody asks for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_workplace import Workplace

from ablate.ecg.cohort import Cohort
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.model.encoder import EncoderSpec
from ablate.store.slot import Past, Twin
from ablate.study.reuse import is_usable, offer
from ablate.train.early_stopping import Rungs
from ablate.train.params import Params
from ablate.train.routine import fingerprint
from ablate.worker import trial_runner
from ablate.worker.agent_options import Ending
from ablate.worker.message import TrialRequest


@pytest.fixture
def trained(make_workplace: Callable[..., Any]) -> Workplace:
    """A study that is finished: four search trials, one block of two arms."""
    workplace = make_workplace()
    workplace.agent().serve()
    return workplace


def offered(workplace: Workplace, code: str = "code") -> tuple[Any, ...]:
    found = offer(workplace.store, workplace.spec, code=code)
    return found.n_slots, found.studies


def test_what_is_finished_elsewhere_is_taken_and_the_rest_is_trained(
    trained: Workplace, make_workplace: Callable[..., Any]
) -> None:
    other = make_workplace(name="t", replicates=2)
    assert offered(other) == (6, ("s",))
    assert other.agent("recognising", reuse=True).serve() is Ending.OVER
    slots = {slot.key: slot for slot in other.store.slots("t")}
    taken = {key for key, slot in slots.items() if slot.reused_from}
    assert taken == {slot.key for slot in trained.store.slots("s")}
    assert {key for key in slots if key not in taken} == {"confirm/ft/-/1", "confirm/sd/-/1"}
    for key in taken - {"search/ft/-/1"}:  # nothing is searched in ft: its second trial is the first again
        assert slots[key].reused_from == {"study": "s", "slot": key}
    assert slots["search/ft/-/1"].reused_from["study"] == "s"
    assert [outcome for outcome, _ in other.attempts()] == ["done"] * 8
    assert sum(str(message).startswith("reused from s, ") for _, message in other.attempts()) == 6
    theirs, ours = (workplace.store.tables(workplace.name) for workplace in (trained, other))
    for tables in (theirs, ours):
        tables.scores["key"] = tables.slots.set_index("slot_id")["key"]
    by_key = ours.scores.set_index("key")["val_auroc"]
    assert by_key[list(taken)].to_dict() == theirs.scores.set_index("key")["val_auroc"].to_dict()
    assert len(other.store.tables("t").test_reads) == 4  # each confirming slot, also those that were not trained
    assert other.store.study("t").seal is not None
    assert offered(other) == (0, ())


def test_nothing_is_taken_unless_somebody_asks_for_it(trained: Workplace, make_workplace: Callable[..., Any]) -> None:
    other = make_workplace(name="t")
    other.agent("recognising").serve()
    assert other.store.counts("t").taken() == 0
    assert set(other.states().values()) == {"done"}


def test_what_the_trainer_does_not_recognise_is_trained(trained: Workplace, make_workplace: Callable[..., Any]) -> None:
    other = make_workplace(name="t")
    other.agent("filling", reuse=True).serve()
    assert other.store.counts("t").taken() == 0
    assert set(other.states().values()) == {"done"}


def test_results_of_other_code_are_not_offered(trained: Workplace, make_workplace: Callable[..., Any]) -> None:
    assert offered(make_workplace(name="t"), code="other") == (0, ())


def test_nothing_is_offered_of_a_confirmation_whose_search_will_go_on(
    make_workplace: Callable[..., Any],
) -> None:
    """All four trials of each arm are known, but the search is unsettled: other params may be chosen in the end."""
    make_workplace(search_trials=4).agent().serve()
    until_settled = {"first": 4, "most": 8, "until": "settled"}
    assert offered(make_workplace(name="t", search_trials=until_settled)) == (8, ("s",))
    assert offered(make_workplace(name="u", search_trials=4)) == (10, ("s",))


def test_a_search_that_goes_on_is_followed_as_far_as_it_is_known(
    trained: Workplace, make_workplace: Callable[..., Any]
) -> None:
    """The third trial of sd is not, and so neither is what will be confirmed; that of ft is its first again."""
    assert offered(make_workplace(name="t", search_trials=3)) == (5, ("s",))


def test_a_study_without_a_search_is_found_by_its_params_alone(make_workplace: Callable[..., Any]) -> None:
    make_workplace(search_trials=0, replicates=3).agent().serve()
    other = make_workplace(name="t", search_trials=0, replicates=2)
    assert offered(other) == (4, ("s",))
    found = offer(other.store, other.spec, code="code", phases=("search",))
    assert found.n_slots == 0


@pytest.mark.parametrize(("threshold", "usable"), [(0.6, True), (0.7, False)])
def test_a_trial_that_the_study_would_have_stopped_early_is_not_taken(threshold: float, usable: bool) -> None:
    epochs = {"stage": ["finetune"] * 2, "epoch": [1, 2], "val_auroc": [0.6, 0.9]}
    past = Past(params={}, scores={}, epochs=epochs)
    twin = Twin(slot_id=1, study="s", key="k", asked="a", fingerprint="f", code="c", past=past)
    assert is_usable(twin, rungs=None)
    assert is_usable(twin, rungs=Rungs(score="val_auroc", thresholds={1: threshold})) is usable


def test_the_test_fold_stays_closed_while_a_trial_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits = []

    def load(cohort: Cohort, task: str, *, permit: Permit | None, window_s: float | None) -> TaskData:
        permits.append(permit)
        return load_task(cohort, task, permit=permit, window_s=window_s)

    monkeypatch.setattr(trial_runner, "load_task", load)
    folder = prepare(Synthetic(n_records=200, seed=1), cache_dir=tmp_path)
    request = TrialRequest(
        ticket=1, key="confirm/ft/-/0", seed=4, params={"data_fraction": 0.3, "ft_epochs": 1}, cohort=folder,
        task="superdiagnostic", encoder=EncoderSpec("net1d_small", "random"),
        permit=Permit(study="s", slot="confirm/ft/-/0"),
    )  # fmt: skip
    desk = trial_runner.TrialRunner(device="cpu", n_threads=1)
    assert desk.recognise(request) is None  # nothing is known, and nothing is looked at
    assert permits == []
    whole = fingerprint(
        EncoderSpec("net1d_small", "random"), load_task(open_cohort(folder), "superdiagnostic"),
        Params.from_dict(request.params), seed=4,
    )  # fmt: skip
    assert desk.recognise(replace(request, known=frozenset({whole, "another"}))) == whole
    assert desk.recognise(replace(request, known=frozenset({"another"}))) is None
    assert permits == [None]
