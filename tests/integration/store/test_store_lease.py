import dataclasses
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sample_outcome import progress
from small_study import confirm_slots, result, search_slots, stopped_result

from ablate.errors import LeaseLost, SealedError
from ablate.outcome import Progress, Stage
from ablate.store.slot import AgentCard, SlotState
from ablate.store.store import Store

Register = Callable[..., str]


def expire(store: Store) -> None:
    """Let every lease be over, as if its time had passed."""
    store.database.rows("UPDATE ablate_lease SET deadline = clock_timestamp() - interval '1 s', lease_s = 0")


def test_slots_are_given_in_the_order_of_priority_and_each_once(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(3))
    claims = [store.claim(name, agent) for _ in range(4)]
    assert [claim and claim.slot.key for claim in claims] == ["search/ft/0", "search/ft/1", "search/ft/2", None]
    assert claims[0] is not None
    assert claims[0].slot.state is SlotState.LEASED
    assert claims[0].slot.seed == 2**62
    assert claims[0].slot.context == {"data_fraction": 0.1}


def test_a_result_is_stored_once_and_telling_it_again_changes_nothing(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register()
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result(0.8))
    store.finish(claim, result(0.9))
    tables = store.tables(name)
    assert tables.probabilities(claim.slot.id, split="val")[0, 0] == np.float32(0.8)
    assert tables.scores.val_auroc.to_list() == [0.8]
    assert store.counts(name).of(SlotState.DONE) == 1


def test_a_later_lease_fences_off_the_earlier_result(
    store: Store, register: Register, agent: AgentCard, rival: AgentCard
) -> None:
    name = register(*search_slots(1))
    late = store.claim(name, agent)
    assert late is not None
    expire(store)
    assert store.reconcile(name).n_reaped == 1
    new = store.claim(name, rival)
    assert new is not None
    assert (new.slot.id, new.token, new.outcomes) == (late.slot.id, 2, ("lease_expired",))
    for act in (
        lambda: store.renew(late),
        lambda: store.set_params(late, {}),
        lambda: store.finish(late, result(0.1)),
        lambda: store.fail(late, "crashed", ""),
        lambda: store.release(late, ""),
    ):
        with pytest.raises(LeaseLost, match="search/ft/0: lease 1 of agent host-1-a is lost"):
            act()
    store.finish(new, result(0.7))
    with pytest.raises(LeaseLost):
        store.finish(late, result(0.1))
    assert store.tables(name).scores.val_auroc.to_list() == [0.7]


def test_a_late_result_counts_when_nobody_took_the_slot_since(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    expire(store)
    store.reconcile(name)
    store.finish(claim, result(0.8))
    assert store.counts(name).of(SlotState.DONE) == 1
    assert store.claim(name, agent) is None


def test_renewal_keeps_a_lease_and_shows_the_progress(store: Store, register: Register, agent: AgentCard) -> None:
    name = register()
    claim = store.claim(name, agent, lease_s=0.2)
    assert claim is not None
    expire(store)
    assert store.renew(claim, progress(2)) is False
    store.database.rows("UPDATE ablate_lease SET deadline = clock_timestamp() + interval '60 s'")
    assert store.reconcile(name).n_reaped == 0
    [row] = store.agents(name)
    assert (row.id, row.slot, row.progress) == (agent.id, "search/ft/0", progress(2))
    assert (row.device, row.facts, row.n_done) == ("cuda:0", {"torch": "2.13.0"}, 0)


def test_agents_show_what_they_have_done(store: Store, register: Register, agent: AgentCard, rival: AgentCard) -> None:
    name = register(*search_slots(3))
    for worker in (agent, agent, rival):
        claim = store.claim(name, worker)
        assert claim is not None
        store.finish(claim, result())
    store.retire(agent)
    first, second = store.agents(name)
    assert (first.id, first.n_done, first.slot, first.ended_at is None) == (agent.id, 2, None, False)
    assert (second.id, second.n_done, second.ended_at) == (rival.id, 1, None)
    assert first.silent_s >= 0


def test_an_agent_that_holds_its_next_slot_already_is_shown_once(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(3))
    trained = store.claim(name, agent)
    assert trained is not None
    assert store.claim(name, agent) is not None
    assert store.renew(trained, progress(2)) is False
    [row] = store.agents(name)
    assert (row.slot, row.progress) == (trained.slot.key, progress(2))


def test_an_expired_lease_goes_to_whoever_asks_next(
    store: Store, register: Register, agent: AgentCard, rival: AgentCard
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    expire(store)
    assert claim is not None
    again = store.claim(name, rival)  # without any reconcile
    assert again is not None
    assert again.token == claim.token + 1


def test_leases_outlive_an_outage_of_the_server_by_one_lease_time(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register()
    store.claim(name, agent)
    [row] = store.database.rows(
        "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS s"
    )
    statement = "UPDATE ablate_lease SET deadline = clock_timestamp() - interval '1 s', lease_s = :lease_s"
    store.database.rows(statement, lease_s=row.s + 1000)  # the server started less than one lease time ago
    assert store.reconcile(name).n_reaped == 0
    store.database.rows(statement, lease_s=row.s / 2)
    assert store.reconcile(name).n_reaped == 1


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("diverged", ["failed"]),
        ("bad_data", ["failed"]),
        ("out_of_memory", ["waiting", "waiting", "failed"]),
        ("crashed", ["waiting", "waiting", "failed"]),
        ("preempted", ["waiting"] * 5),
        ("killed", ["waiting"] * 5),
        ("machine_lost", ["waiting"] * 5),
    ],
)
def test_what_counts_against_max_attempts(
    store: Store, register: Register, agent: AgentCard, kind: str, states: list[str]
) -> None:
    name = register(*search_slots(1), max_attempts=3)
    for number, state in enumerate(states):
        store.database.rows("UPDATE ablate_slot SET not_before = now()")  # the back-off is over
        claim = store.claim(name, agent)
        assert claim is not None
        assert claim.outcomes == (kind,) * number
        assert store.fail(claim, kind, "because") == state
    [slot] = store.slots(name)
    is_blamed = "failed" in states
    assert slot.reason == (f"{kind}: because" if is_blamed else None)  # a loss is no failure of the slot
    assert slot.attempts == len(states)


def test_the_wait_after_failures_grows_to_half_a_minute_and_no_further(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1), max_attempts=1000)
    for failures, most_s in ((0, 0.5), (3, 4.0), (10, 30.0), (40, 30.0)):
        store.database.rows("UPDATE ablate_slot SET not_before = now(), failures = :n", n=failures)
        claim = store.claim(name, agent)
        assert claim is not None
        store.fail(claim, "crashed", "again")
        [row] = store.database.rows(
            "SELECT extract(epoch FROM s.not_before - a.ended_at)::float8 AS s "
            "FROM ablate_slot s JOIN ablate_attempt a ON a.slot_id = s.id AND a.token = s.token"
        )
        assert most_s / 2 <= row.s <= most_s + 0.1  # the two clocks are read within one statement


def test_a_failure_that_is_told_twice_says_twice_how_the_slot_stands(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(2))
    for kind, state in (("diverged", SlotState.FAILED), ("crashed", SlotState.WAITING)):
        claim = store.claim(name, agent)
        assert claim is not None
        assert [store.fail(claim, kind, "because") for _ in range(2)] == [state, state]


@pytest.mark.parametrize("end", ["release", "expire", "preempted", "crash and claim"])
def test_a_slot_that_nobody_is_to_blame_for_gives_no_reason(
    store: Store, register: Register, agent: AgentCard, end: str
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    match end:
        case "release":
            store.release(claim, "Ctrl-C")
        case "expire":
            expire(store)
            store.reconcile(name)
        case "preempted":
            store.fail(claim, "preempted", "SIGTERM")
        case _:
            store.fail(claim, "crashed", "SIGSEGV")
            assert store.slots(name)[0].reason == "crashed: SIGSEGV"
            store.database.rows("UPDATE ablate_slot SET not_before = now()")
            assert store.claim(name, agent) is not None
    assert store.slots(name)[0].reason is None


def test_losses_are_counted_anew_whenever_the_slot_has_come_further(
    store: Store, register: Register, agent: AgentCard
) -> None:
    """Machines may be lost as often as they like while the slot gets on; one that stands still is the cause."""
    name = register(*search_slots(1))

    def lose(stage: Stage, epoch: int, *, by_expiry: bool) -> SlotState:
        claim = store.claim(name, agent)
        assert claim is not None
        store.renew(claim, Progress(stage=stage, epoch=epoch, n_epochs=20))
        if by_expiry:
            expire(store)
            store.reconcile(name)
        else:
            store.fail(claim, "killed", "SIGKILL")
        return store.slots(name)[0].state

    for stage in ("probe", "finetune"):
        assert {lose(stage, epoch, by_expiry=epoch % 2 == 0) for epoch in range(1, 20)} == {SlotState.WAITING}
    states = [lose("finetune", 19, by_expiry=number % 2 == 0) for number in range(24)]
    assert states == [SlotState.WAITING] * 23 + [SlotState.FAILED]  # with the loss that had come so far, 25


def test_a_failed_attempt_waits_before_the_next(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.fail(claim, "crashed", "segmentation fault")
    assert store.claim(name, agent) is None
    [row] = store.database.rows(
        "SELECT extract(epoch FROM not_before - clock_timestamp())::float8 AS s FROM ablate_slot"
    )
    assert 0 < row.s < 1


def test_a_slot_that_takes_every_machine_with_it_fails(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(1))
    store.database.rows("UPDATE ablate_slot SET losses = 24")
    store.claim(name, agent)
    expire(store)
    store.reconcile(name)
    [slot] = store.slots(name)
    assert (slot.state, slot.reason) == (SlotState.FAILED, "lost with its agent 25 times")


def test_released_slots_wait_at_once_and_keep_their_params(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-4})
    store.release(claim, "asked to stop")
    store.release(claim, "asked to stop")  # the answer to the first was lost
    again = store.claim(name, agent)
    assert again is not None
    assert again.slot.params == {"ft_lr": 1e-4}
    assert again.outcomes == ("released",)
    assert again.slot.failures == 0


def test_a_generation_waits_for_the_one_before_it_in_its_chain(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(4, generation_size=2), *search_slots(1, arm="sd"))
    first, second, other = (store.claim(name, agent) for _ in range(3))
    assert first and second and other
    assert {first.slot.arm, second.slot.arm, other.slot.arm} == {"ft", "sd"}
    assert store.claim(name, agent) is None
    ft_claims = [claim for claim in (first, second, other) if claim.slot.arm == "ft"]
    for place, claim in enumerate(ft_claims):
        assert store.claim(name, agent) is None
        store.set_params(claim, {"ft_lr": 0.001 * (place + 1)})
        store.finish(claim, result(0.7 + place / 20))
    third = store.claim(name, agent)
    assert third is not None
    assert third.slot.generation == 1
    history = store.history(name, "ft", below_generation=1)
    assert [(past.params, past.scores["val_auroc"]) for past in history] == [
        ({"ft_lr": 0.001}, 0.7),
        ({"ft_lr": 0.002}, 0.75),
    ]


def test_params_that_diverged_are_known_to_later_generations(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(2, generation_size=2))
    for params, kind in (({"ft_lr": 0.01}, "diverged"), ({"ft_lr": 0.001}, "invalid_params")):
        claim = store.claim(name, agent)
        assert claim is not None
        store.set_params(claim, params)
        store.fail(claim, kind, "loss is nan")
    assert store.diverged(name, "ft", below_generation=1) == [{"ft_lr": 0.01}]
    assert store.diverged(name, "ft", below_generation=0) == []


def test_a_slot_that_was_stopped_early_is_done_and_says_so(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(2, generation_size=1))
    claim = store.claim(name, agent)
    assert claim is not None
    rungs = {"score": "val_auroc", "thresholds": [[1, 0.1 + 0.2]]}
    store.set_params(claim, {"ft_lr": 0.001}, rungs=rungs)
    store.release(claim, "preempted")
    again = store.claim(name, agent)
    assert again is not None
    assert again.slot.rungs == rungs  # to the last bit, for every attempt
    store.finish(again, stopped_result(0.5))
    store.finish(again, stopped_result(0.5))
    [slot, _] = store.slots(name)
    assert (slot.state, slot.stopped_epoch) == (SlotState.DONE, 1)
    assert slot.reason == "stopped early after epoch 1 of 5: val_auroc 0.5000, below the 0.6000 that earlier trials set"
    counts = store.counts(name)
    assert (counts.of(SlotState.DONE), counts.stopped_early(), counts.stopped_early(phase="confirm")) == (1, 1, 0)
    [past] = store.history(name, "ft", below_generation=1)
    assert (past.is_whole, past.stopped_epoch, past.curve("val_auroc")) == (False, 1, {1: 0.5})
    assert store.claim(name, agent) is not None  # the next generation need not wait
    tables = store.tables(name)
    assert tables.slots["stopped_epoch"].tolist()[0] == 1
    assert tables.attempts["outcome"].tolist()[-2] == "done"


def test_a_failed_slot_does_not_hold_its_chain_up(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(2, generation_size=1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.fail(claim, "diverged", "loss is nan")
    assert store.claim(name, agent) is not None


def test_confirmation_begins_with_the_seal(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*confirm_slots(1))
    assert store.claim(name, agent) is None
    assert store.seal(name, {"params": {"ft": {}}}) is True
    assert store.seal(name, {"params": "others"}) is False
    assert store.study(name).seal == {"params": {"ft": {}}}
    assert store.claim(name, agent, phases=["search"]) is None
    assert store.claim(name, agent) is not None


def test_the_test_fold_is_opened_only_for_a_valid_confirmation(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1), *confirm_slots(2))
    search = store.claim(name, agent)
    assert search is not None
    with pytest.raises(SealedError, match="search/ft/0: phase search may not read the test fold"):
        store.open_test(search)
    disguised = dataclasses.replace(search, slot=dataclasses.replace(search.slot, phase="confirm"))
    with pytest.raises(SealedError, match="not sealed"):
        store.open_test(disguised)
    store.seal(name, {})
    with pytest.raises(LeaseLost):
        store.open_test(disguised)
    claim = store.claim(name, agent)
    assert claim is not None
    assert store.tables(name).test_reads.empty
    permit = store.open_test(claim)
    store.open_test(claim)  # again within the attempt: the same opening
    assert (permit.study, permit.slot) == (name, "confirm/ft/0")
    reads = store.tables(name).test_reads
    assert reads[["key", "agent", "slot_id"]].to_numpy().tolist() == [["confirm/ft/0", agent.id, claim.slot.id]]
    expire(store)
    with pytest.raises(LeaseLost, match="ran out"):
        store.open_test(claim)
    assert len(store.tables(name).test_reads) == 1


def test_stop_cancel_and_retry(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(3))
    claim = store.claim(name, agent)
    assert claim is not None
    store.request_stop(name)
    assert store.study(name).stop_requested
    assert store.renew(claim) is True
    assert store.claim(name, agent) is None
    store.clear_stop(name)
    assert store.renew(claim) is False
    done = store.claim(name, agent)
    assert done is not None
    store.finish(done, result())
    assert store.cancel(name) == 2
    with pytest.raises(LeaseLost, match="cancelled"):
        store.renew(claim)
    with pytest.raises(LeaseLost):
        store.finish(claim, result())
    assert store.counts(name).of(SlotState.CANCELLED) == 2
    assert store.retry_failed(name) == 2
    assert store.counts(name).of(SlotState.WAITING) == 2


def test_a_claim_whose_answer_was_lost_is_found_again(
    store: Store, register: Register, agent: AgentCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = register(*search_slots(2))
    rows, claims = store.database.rows, []

    def lose_first_answer(statement: str, **values: Any) -> Any:
        if "picked" in statement and not claims:
            claims.append(rows(statement, **values))
        return rows(statement, **values)

    monkeypatch.setattr(store.database, "rows", lose_first_answer)
    claim = store.claim(name, agent)
    assert claim is not None
    assert (claim.slot.key, claim.token) == ("search/ft/0", 1)
    assert store.counts(name).of(SlotState.LEASED) == 1


def _fill(url: str, name: str, number: int, filled: "multiprocessing.Queue[str]") -> None:
    store = Store(url)
    agent = AgentCard(id=f"agent-{number}", host="h", pid=number)
    while (claim := store.claim(name, agent)) is not None:
        store.finish(claim, result())
        filled.put(claim.slot.key)
    filled.put("")


def test_many_agents_fill_each_slot_once(store: Store, store_url: str, register: Register) -> None:
    name = register(*search_slots(60))
    store.disconnect()
    context = multiprocessing.get_context("fork")
    filled: multiprocessing.Queue[str] = context.Queue()
    agents = [context.Process(target=_fill, args=(store_url, name, number, filled)) for number in range(6)]
    for process in agents:
        process.start()
    keys, n_ended = [], 0
    while n_ended < len(agents):
        key = filled.get(timeout=60)
        keys.append(key) if key else None
        n_ended += not key
    for process in agents:
        process.join()
    assert sorted(keys) == sorted(slot.key for slot in search_slots(60))
    assert store.counts(name).of(SlotState.DONE) == 60
