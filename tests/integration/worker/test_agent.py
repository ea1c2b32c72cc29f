"""Agents lose nothing, whatever their trainers, stores and launchers do."""

import itertools
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest
from agent_workplace import Workplace
from sample_outcome import result
from scripted_trainer import score_of

from ablate.errors import DataError, LaunchError, StoreError
from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.worker import trainer_process
from ablate.worker.agent_options import Ending
from ablate.worker.spool import Spool, SpooledResult


def wait_for(is_true: Callable[..., Any], *, timeout_s: float = 30) -> None:
    """Until ``is_true()``; the tests fail when it never is."""
    until = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until, "it never came true"
        threading.Event().wait(0.02)


def sizes(workplace: Workplace) -> list[int]:
    """How many records each request wanted in memory at once."""
    return [int(line) for line in (workplace.home / "sizes").read_text().split()]


def test_every_slot_is_filled_once_and_the_study_is_sealed_on_the_way(workplace: Workplace) -> None:
    assert workplace.agent().serve() is Ending.OVER
    assert set(workplace.states().values()) == {"done"}
    assert [outcome for outcome, _ in workplace.attempts()] == ["done"] * 6
    assert workplace.store.study("s").seal is not None
    assert {key.partition("/")[0] for key in workplace.store.tables("s").test_reads.key} == {"confirm"}
    slot = workplace.store.slots("s")[0]
    score = workplace.store.tables("s").probabilities(slot.id, split="val")[0, 0]
    assert score == np.float32(score_of(slot.seed))


def test_two_agents_share_the_slots(workplace: Workplace, in_background: Callable[..., Any]) -> None:
    endings = [in_background(workplace.agent().serve) for _ in range(2)]
    assert [ending.result(60) for ending in endings] == [Ending.OVER] * 2
    assert [outcome for outcome, _ in workplace.attempts()] == ["done"] * 6


def test_agent_never_holds_more_than_one_slot_ahead(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(search_trials=0, replicates=6)
    workplace.agent("talkative").serve()
    rows = workplace.store.database.rows("SELECT started_at, ended_at FROM ablate_attempt ORDER BY started_at")
    assert len(rows) > 3
    for early, late in zip(rows, rows[2:], strict=False):
        assert late.started_at >= early.ended_at


def test_nothing_is_left_to_do_the_second_time(workplace: Workplace) -> None:
    workplace.agent().serve()
    assert workplace.agent("without_data").serve() is Ending.OVER
    assert len(workplace.attempts()) == 6


def test_only_the_asked_phase_is_filled(workplace: Workplace) -> None:
    assert workplace.agent(phases=("search",)).serve() is Ending.OVER
    assert {key.partition("/")[0] for key, state in workplace.states().items() if state == "waiting"} == {"confirm"}
    assert workplace.store.study("s").seal is None


def test_too_large_a_batch_is_halved_until_it_fits_without_blame(workplace: Workplace) -> None:
    workplace.agent("short_of_memory").serve()
    assert [outcome for outcome, _ in workplace.attempts()] == ["done"] * 6
    facts = workplace.store.database.rows("SELECT facts FROM ablate_result")
    assert {row.facts["micro_batch"] for row in facts} == {8}
    assert sizes(workplace) == [64, 32, 16, *[8] * 6]  # what is known to fail is not tried again


def test_agent_makes_room_on_a_full_gpu_unless_it_has_the_first_seat(workplace: Workplace) -> None:
    assert workplace.agent("short_of_memory", device="cuda:0", seat=1).serve() is Ending.MADE_ROOM
    assert {outcome for outcome, _ in workplace.attempts()} == {"released"}
    assert "made room for others on cuda:0" in workplace.attempts()[0][1]
    assert set(workplace.states().values()) == {"waiting"}
    assert workplace.agent("short_of_memory", device="cuda:0", seat=0).serve() is Ending.OVER
    assert set(workplace.states().values()) == {"done"}


def test_what_never_fits_fails_for_its_own_fault(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(max_attempts=1, replicates=0)
    workplace.agent("without_memory").serve()
    assert set(workplace.states().values()) == {"failed"}
    assert {outcome for outcome, _ in workplace.attempts()} == {"out_of_memory"}


def test_another_attempt_does_not_try_again_what_is_known_to_fail(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(max_attempts=2, search_trials=0, replicates=1)
    workplace.agent("without_memory").serve()
    assert [outcome for outcome, _ in workplace.attempts()] == ["out_of_memory"] * 4
    assert sizes(workplace) == [64, 32, 16, 8, 4, 2, 1] * 2 + [1] * 2


def test_lost_gpu_costs_its_slot_no_attempt_and_a_fresh_process_goes_on(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(max_attempts=1, search_trials=1, replicates=0)
    assert workplace.agent("losing_its_gpu_once").serve() is Ending.OVER
    assert [outcome for outcome, _ in workplace.attempts()].count("device_lost") == 1
    assert set(workplace.states().values()) == {"done"}


def test_gpu_that_is_lost_in_a_fresh_process_too_is_left_alone_with_one_line(workplace: Workplace) -> None:
    with pytest.raises(LaunchError, match=r"--device cpu: failed .* in a fresh process too") as end:
        workplace.agent("losing_its_gpu").serve()
    assert "\n" not in str(end.value)
    assert [outcome for outcome, _ in workplace.attempts()].count("device_lost") == 2
    assert set(workplace.states().values()) == {"waiting"}
    assert {slot.failures for slot in workplace.store.slots("s")} == {0}


def test_device_that_cannot_be_used_is_one_line_and_blames_no_slot(workplace: Workplace) -> None:
    with pytest.raises(LaunchError, match=r"^--device cuda:0: cannot be used \(no driver\)$"):
        workplace.agent("unusable").serve()
    assert set(workplace.states().values()) == {"waiting"}
    assert {slot.failures for slot in workplace.store.slots("s")} == {0}


def test_divergence_fails_its_slot_and_the_study_goes_on(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(replicates=0)
    workplace.agent("unlucky").serve()
    assert workplace.states() == {
        "search/ft/-/0": "failed", "search/sd/-/0": "failed", "search/ft/-/1": "done", "search/sd/-/1": "done",
    }  # fmt: skip
    assert ("diverged", "loss is nan") in workplace.attempts()


def test_killed_trainer_is_replaced_and_its_slot_tried_again(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(replicates=0)
    workplace.agent("dying", lease_s=30.0).serve()  # none runs out on a busy machine
    assert set(workplace.states().values()) == {"done"}
    killed = [message for outcome, message in workplace.attempts() if outcome == "killed"]
    assert len(killed) == 4
    assert all("killed by SIGKILL" in message for message in killed)
    assert [slot.failures for slot in workplace.store.slots("s")] == [0] * 4  # nobody's fault


def test_trainer_that_hangs_is_killed_and_its_slot_tried_again(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(search_trials=1, replicates=0)
    workplace.agent("hanging", hang_s=0.3).serve()
    assert set(workplace.states().values()) == {"done"}
    assert [outcome for outcome, _ in workplace.attempts()].count("hung") == 2


def test_lease_is_renewed_while_a_trial_takes_longer(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(search_trials=1, replicates=0)
    workplace.agent("slow", lease_s=0.6).serve()
    assert [outcome for outcome, _ in workplace.attempts()] == ["done", "done"]


def test_machine_that_can_do_nothing_gives_its_slot_back_and_says_why(workplace: Workplace) -> None:
    with pytest.raises(DataError, match="damaged"):
        workplace.agent("without_data").serve()
    assert set(workplace.states().values()) == {"waiting"}
    (outcome, message), *ahead = workplace.attempts()  # the next slot may have been claimed already
    assert outcome == "released"
    assert "damaged" in message
    assert {outcome for outcome, _ in ahead} <= {"released"}


def test_trainers_that_die_at_their_start_are_not_started_for_ever(workplace: Workplace) -> None:
    with pytest.raises(LaunchError, match="in a row died"):
        workplace.agent("stillborn").serve()
    assert "leased" not in workplace.states().values()


def test_a_trial_whose_trainer_cannot_be_replaced_is_given_back(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills it for memory, and with half the batch there is no process for it any more."""
    n_killed, n_forked = itertools.count(), itertools.count()

    def device_of(device: str) -> tuple[str, dict[str, str]]:
        if next(n_forked):
            raise LaunchError("no process can be started")
        return device, {}

    monkeypatch.setattr(trainer_process, "_oom_kills", lambda: next(n_killed))
    monkeypatch.setattr(trainer_process, "visible_device", device_of)
    monkeypatch.setattr(trainer_process.ForkServer, "start", lambda *, n_threads: device_of(n_threads))
    with pytest.raises(LaunchError, match="no process can be started"):
        workplace.agent("dying", lease_s=600).serve()
    assert {outcome for outcome, _ in workplace.attempts()} == {"released"}
    assert set(workplace.states().values()) == {"waiting"}


def test_a_dead_agents_result_that_the_store_refuses_ends_nobody_else(
    workplace: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    card = AgentCard(id="dead", host="here", pid=1)
    claim = workplace.store.claim("s", card, lease_s=0.1)
    with Spool(workplace.home / "spool", agent="dead") as spool:
        path = spool.put(SpooledResult(claim, result()))
    workplace.store.database.rows(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '22000'; END $$"
    )
    workplace.store.database.rows(
        f"CREATE TRIGGER refuse BEFORE INSERT ON ablate_result FOR EACH ROW WHEN (NEW.token = {claim.token} "
        f"AND NEW.slot_id = {claim.slot.id}) EXECUTE FUNCTION refuse()"
    )
    assert workplace.agent().serve() is Ending.OVER
    assert set(workplace.states().values()) == {"done"}
    assert path.exists()
    assert sum("is refused and left there" in message for message in caplog.messages) == 1


def test_store_that_refuses_ends_the_agent(workplace: Workplace) -> None:
    agent = workplace.agent()
    workplace.store.database.rows("DROP TABLE ablate_lease CASCADE")
    with pytest.raises(StoreError, match="is not the store that this process belongs to"):
        agent.serve()


def test_stopped_study_gets_its_slots_back(workplace: Workplace, in_background: Callable[..., Any]) -> None:
    ending = in_background(workplace.agent("waiting").serve)
    wait_for(lambda: "leased" in workplace.states().values())
    workplace.store.request_stop("s")
    assert ending.result(30) is Ending.STOPPED
    assert [row.ended_at for row in workplace.store.agents("s")] != [None]  # nobody is at work any more
    assert set(workplace.states().values()) == {"waiting"}
    workplace.store.clear_stop("s")
    assert workplace.agent().serve() is Ending.OVER


def test_agent_stops_when_its_launcher_vanishes(workplace: Workplace, in_background: Callable[..., Any]) -> None:
    ours, theirs = Pipe()
    ending = in_background(workplace.agent("waiting", lifeline=theirs).serve)
    wait_for(lambda: "leased" in workplace.states().values())
    ours.close()
    assert ending.result(30) is Ending.STOPPED
    assert set(workplace.states().values()) == {"waiting"}


def test_no_connection_is_held_while_a_trial_trains(
    workplace: Workplace, store_url: str, in_background: Callable[..., Any]
) -> None:
    ours, theirs = Pipe()
    agents_own = Store(store_url, application_name="agent")
    ending = in_background(workplace.agent("waiting", store=agents_own, lifeline=theirs, lease_s=60).serve)
    statement = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'agent'"
    try:
        wait_for(lambda: "leased" in workplace.states().values())
        wait_for(lambda: workplace.store.database.rows(statement)[0].n == 0)
        assert "leased" in workplace.states().values()
    finally:
        ours.close()
    assert ending.result(30) is Ending.STOPPED
    assert set(workplace.states().values()) == {"waiting"}
    agents_own.disconnect()


def test_cancelled_slot_is_dropped_at_once(workplace: Workplace, in_background: Callable[..., Any]) -> None:
    ending = in_background(workplace.agent("waiting").serve)
    wait_for(lambda: "leased" in workplace.states().values())
    workplace.store.cancel("s")
    assert ending.result(30) is Ending.OVER
    assert set(workplace.states().values()) == {"cancelled"}
