"""A store that is away: nothing waits for it, nothing is lost, nothing is told twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_workplace import Workplace
from proxy import Proxy
from sample_outcome import result
from sqlalchemy.engine import make_url
from test_agent import wait_for

from ablate.store.slot import AgentCard, Claim
from ablate.store.store import Store
from ablate.worker.agent_options import Ending
from ablate.worker.outbox import Outbox, Release
from ablate.worker.spool import Spool, SpooledResult

RESULT = result(0.5)


@pytest.fixture
def proxied(store_url: str) -> Iterator[tuple[Proxy, Store]]:
    """The store through a proxy whose connections can be cut."""
    proxy = Proxy(make_url(store_url).port)
    store = Store(make_url(store_url).set(port=proxy.port).render_as_string(hide_password=False))
    yield proxy, store
    store.disconnect()
    proxy.close()


def claim(workplace: Workplace, name: str, *, lease_s: float = 60.0) -> Claim:
    found = workplace.store.claim("s", AgentCard(id=name, host="here", pid=1), lease_s=lease_s)
    assert found is not None
    return found


def spooled(workplace: Workplace) -> list[Path]:
    return list((workplace.home / "spool").rglob("*.result"))


def test_training_goes_on_through_an_outage_and_results_are_told_afterwards(
    workplace: Workplace, proxied: tuple[Proxy, Store], in_background: Callable[..., Any]
) -> None:
    proxy, store = proxied
    ending = in_background(workplace.agent("unhurried", store=store, lease_s=20.0).serve)
    wait_for(lambda: any(slot.params for slot in workplace.store.slots("s")))  # told just before a trial begins
    proxy.refuse()
    try:
        wait_for(lambda: spooled(workplace))
        assert "done" not in workplace.states().values()
    finally:
        proxy.accept()
    assert ending.result(120) is Ending.OVER
    outcomes = [outcome for outcome, _ in workplace.attempts()]
    assert outcomes.count("done") == 6
    assert set(outcomes) <= {"done", "released", "lease_expired"}  # the slot that was just being claimed: without blame
    assert spooled(workplace) == []


def test_dropped_connections_are_not_noticed(
    workplace: Workplace, proxied: tuple[Proxy, Store], in_background: Callable[..., Any]
) -> None:
    proxy, store = proxied
    ending = in_background(workplace.agent("unhurried", store=store).serve)
    for n in range(1, 7):
        wait_for(lambda n=n: [outcome for outcome, _ in workplace.attempts()].count("done") >= n)
        proxy.cut()
    assert ending.result(60) is Ending.OVER
    assert [outcome for outcome, _ in workplace.attempts()] == ["done"] * 6


def test_result_of_a_dead_agent_is_told_by_the_next_one(workplace: Workplace) -> None:
    held = claim(workplace, "dead")
    workplace.store.set_params(held, {"drop_path_rate": 0.0})
    with Spool(workplace.home / "spool", agent="dead") as dead:
        dead.put(SpooledResult(held, RESULT))
        dead._lock.release()  # as the kernel does for a process that was killed
        workplace.agent().serve()
    assert workplace.store.tables("s").scores.val_auroc[held.slot.id] == 0.5
    assert len(workplace.attempts()) == 6
    assert spooled(workplace) == []


def test_late_result_is_fenced_off_when_the_slot_was_given_to_another(workplace: Workplace) -> None:
    late = claim(workplace, "frozen", lease_s=0.5)
    wait_for(lambda: workplace.store.reconcile("s").n_reaped)
    while (other := claim(workplace, "other")).slot.id != late.slot.id:
        pass
    workplace.store.finish(other, result(0.6))
    with Spool(workplace.home / "spool", agent="frozen") as spool:
        outbox = Outbox(workplace.store, spool)
        outbox.put(SpooledResult(late, RESULT))
        assert len(spooled(workplace)) == 1
        outbox.tell(lambda _: None)
        assert len(outbox) == 0
    assert spooled(workplace) == []
    assert workplace.store.tables("s").scores.val_auroc[late.slot.id] == 0.6


def test_result_reaches_the_store_also_when_the_disk_is_full(workplace: Workplace) -> None:
    held = claim(workplace, "one")
    Path(workplace.home / "spool").touch()  # a folder cannot be made here
    outbox = Outbox(workplace.store, Spool(workplace.home / "spool", agent="one"))
    outbox.put(SpooledResult(held, RESULT))
    outbox.tell(lambda _: None)
    assert workplace.states()[held.slot.key] == "done"


def test_first_confirmation_keeps_the_test_fold_with_the_study(workplace: Workplace) -> None:
    held = claim(workplace, "one")
    outbox = Outbox(workplace.store, Spool(workplace.home / "spool", agent="one"))
    outbox.put(SpooledResult(held, RESULT, test_fold=b"labels"))
    outbox.tell(lambda _: None)
    assert workplace.store.read_artifact("s", None, "test_fold.npz") == b"labels"
    assert workplace.store.read_artifact("s", held.slot.id, "test_fold.npz") is None


def test_released_slot_is_told_once(workplace: Workplace) -> None:
    held = claim(workplace, "one")
    outbox = Outbox(workplace.store, Spool(workplace.home / "spool", agent="one"))
    outbox.put(Release(held, "why"))
    told = []
    outbox.tell(told.append)
    outbox.tell(told.append)
    assert len(told) == 1
    assert workplace.states()[held.slot.key] == "waiting"
