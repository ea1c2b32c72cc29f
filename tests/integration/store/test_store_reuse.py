"""A result that another study has is taken whole, within lease and ledger, and never silently."""

from collections.abc import Callable

import numpy as np
import pytest
from small_study import SPACE, confirm_slots, result, search_slots, stopped_result

from ablate.errors import LeaseLost
from ablate.outcome import Outcome
from ablate.store.artifact import WEIGHTS
from ablate.store.slot import AgentCard, Claim, SlotState
from ablate.store.store import Store

Register = Callable[..., str]
FOLD = "test_fold.npz"


def claimed(store: Store, name: str, agent: AgentCard, *, asked: str = "question") -> Claim:
    claim = store.claim(name, agent)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 0.001}, asked=asked)
    return claim


def finished(store: Store, name: str, agent: AgentCard, outcome: Outcome | None = None) -> Claim:
    claim = claimed(store, name, agent)
    store.finish(claim, outcome or result(0.8, fingerprint="f"))
    return claim


def test_a_result_is_taken_with_all_that_belongs_to_it(store: Store, register: Register, agent: AgentCard) -> None:
    one = register(*search_slots(1), name="one")
    source = finished(store, one, agent)
    other = register(*search_slots(1), name="other")
    claim = claimed(store, other, agent)
    [twin] = store.twins(other, ["question"])
    assert (twin.study, twin.key, twin.slot_id, twin.fingerprint) == ("one", "search/ft/0", source.slot.id, "f")
    assert (twin.past.scores["val_auroc"], twin.past.curve("val_auroc")) == (0.8, {1: 0.8})
    store.reuse(claim, twin.slot_id)
    store.reuse(claim, twin.slot_id)  # the answer to the first was lost on the way

    [slot] = store.slots(other)
    assert slot.state is SlotState.DONE
    assert slot.reused_from == {"study": "one", "slot": "search/ft/0"}
    assert slot.reason == "reused from one, search/ft/0"
    taken, had = store.tables(other), store.tables(one)
    for name in ("scores", "epochs", "seconds", "class_scores", "digests"):
        values = [getattr(tables, name).reset_index().drop(columns="slot_id") for tables in (taken, had)]
        assert values[0].equals(values[1]), name
    assert taken.slots["reused_from"].tolist() == ["one: search/ft/0"]
    assert taken.attempts["message"].tolist() == ["reused from one, search/ft/0"]
    assert taken.probabilities(slot.id, split="val").tolist() == had.probabilities(source.slot.id, split="val").tolist()
    counts = store.counts(other)
    assert (counts.of(SlotState.DONE), counts.taken(), counts.taken(phase="confirm")) == (1, 1, 0)
    assert store.counts(one).taken() == 0
    assert store.agents(other)[0].slot is None  # the lease has gone


def test_what_was_taken_names_the_study_that_trained_it(store: Store, register: Register, agent: AgentCard) -> None:
    finished(store, register(*search_slots(1), name="one"), agent)
    for name in ("other", "third"):
        claim = claimed(store, register(*search_slots(1), name=name), agent)
        [twin] = store.twins(name, ["question"])
        assert twin.study == "one"  # not one that had taken it itself
        store.reuse(claim, twin.slot_id)
    store.database.rows("DELETE FROM ablate_study WHERE name = 'one'")
    claim = claimed(store, register(*search_slots(1), name="fourth"), agent)
    [twin] = store.twins("fourth", ["question"])
    store.reuse(claim, twin.slot_id)
    assert store.slots("fourth")[0].reused_from == {"study": "one", "slot": "search/ft/0"}


@pytest.mark.parametrize("outcome", [result(0.8), stopped_result(fingerprint="f")])
def test_results_of_unknown_origin_and_of_trials_cut_short_are_no_twins(
    store: Store, register: Register, agent: AgentCard, outcome: Outcome
) -> None:
    finished(store, register(*search_slots(1), name="one"), agent, outcome)
    register(*search_slots(1), name="other")
    assert store.twins("other", ["question"]) == []


def test_a_study_is_no_twin_of_itself(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(2))
    finished(store, name, agent)
    assert store.twins(name, ["question"]) == []
    register(*search_slots(1), name="other")
    assert len(store.twins("other", ["question"])) == 1
    assert store.twins("other", ["another"]) == []


def test_nothing_is_taken_under_a_lease_that_was_lost(
    store: Store, register: Register, agent: AgentCard, rival: AgentCard
) -> None:
    source = finished(store, register(*search_slots(1), name="one"), agent)
    name = register(*search_slots(1), name="other")
    late = claimed(store, name, agent)
    store.release(late, "preempted")
    assert store.claim(name, rival) is not None
    with pytest.raises(LeaseLost, match="is not taken"):
        store.reuse(late, source.slot.id)
    assert store.slots(name)[0].state is SlotState.LEASED
    assert store.tables(name).scores.empty


def test_a_confirmation_is_taken_only_after_the_seal_and_stands_in_the_ledger(
    store: Store, register: Register, agent: AgentCard
) -> None:
    one = register(*confirm_slots(1), name="one")
    store.seal(one, {})
    tested = {"scores": {**result().scores, "test_auroc": 0.7}, "test_probabilities": np.zeros((2, 2), np.float32)}
    outcome = result(0.8, fingerprint="f", **tested)
    store.put_study_artifact(one, FOLD, b"labels")
    source = finished(store, one, agent, outcome)

    other = register(*confirm_slots(1), name="other")
    assert store.claim(other, agent) is None
    store.seal(other, {})
    claim = claimed(store, other, agent)
    with pytest.raises(LeaseLost, match="is not taken"):
        store.reuse(claim, source.slot.id)  # nobody has written that the test fold is read
    assert store.read_artifact(other, None, FOLD) is None
    store.open_test(claim)
    store.reuse(claim, source.slot.id)
    rows = store.database.rows("SELECT scores FROM ablate_result WHERE slot_id = :slot", slot=claim.slot.id)
    assert rows[0].scores["test_auroc"] == 0.7
    reads = store.database.rows("SELECT agent_id FROM ablate_test_read WHERE slot_id = :slot", slot=claim.slot.id)
    assert [read.agent_id for read in reads] == [agent.id]
    assert store.read_artifact(other, None, FOLD) == b"labels"


def test_a_search_trial_never_takes_the_result_of_a_confirmation(
    store: Store, register: Register, agent: AgentCard
) -> None:
    one = register(*confirm_slots(1), name="one")
    store.seal(one, {})
    source = finished(store, one, agent)
    claim = claimed(store, register(*search_slots(1), name="other"), agent)
    with pytest.raises(LeaseLost):
        store.reuse(claim, source.slot.id)


def test_a_result_whose_predictions_have_gone_is_no_twin(store: Store, register: Register, agent: AgentCard) -> None:
    source = finished(store, register(*search_slots(1), name="one"), agent)
    other = register(*search_slots(1), name="other")
    claim = claimed(store, other, agent)
    store.database.rows("DELETE FROM ablate_artifact")
    assert store.twins(other, ["question"]) == []
    with pytest.raises(LeaseLost, match="is not taken"):  # it was there when it was offered
        store.reuse(claim, source.slot.id)


@pytest.mark.parametrize("had", [True, False])
@pytest.mark.parametrize("keep", ["best", "none"])
def test_weights_are_taken_along_only_where_both_studies_keep_them(
    store: Store, agent: AgentCard, *, had: bool, keep: str
) -> None:
    for name, kept in (("one", "best"), ("other", keep)):
        store.register(name, {"question": "why?", "keep": kept}, "digest", confirm_slots(1), space=SPACE)
        store.seal(name, {})
    tested = {"test_probabilities": np.zeros((2, 2), np.float32), "weights": b"w" if had else None}
    source = finished(store, "one", agent, result(0.8, fingerprint="f", **tested))
    claim = claimed(store, "other", agent)
    store.open_test(claim)
    assert len(store.twins("other", ["question"])) == (had or keep == "none")
    store.reuse(claim, source.slot.id)
    assert store.slots_with("one", WEIGHTS) == ({source.slot.id} if had else set())
    assert store.slots_with("other", WEIGHTS) == ({claim.slot.id} if had and keep == "best" else set())
