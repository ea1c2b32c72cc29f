"""Every cell of the documents' table of slots is played."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sample_outcome import result

from ablate.errors import LeaseLost
from ablate.store.slot import AgentCard, Claim, PlannedSlot, SlotState
from ablate.store.store import Store
from ablate.study.confirmation import Step, advance
from ablate.study.file import load_spec
from ablate.study.plan import plan

SMALL = ["budget.search_trials=1", "budget.replicates=1", "context.data_fraction=[1.0]"]
AGENT = AgentCard(id="a", host="h", pid=1)
DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"


def table() -> list[tuple[str, str, str]]:
    """State, event and the state that follows, of each cell."""
    lines = DOCUMENT.read_text().split("## What may become of a slot")[1].split("| moment |")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    events, cells = rows[0][1:], rows[2:]
    return [(row[0], event, after) for row in cells for event, after in zip(events, row[1:], strict=True)]


def expire(store: Store, claim: Claim) -> None:
    store.database.rows("UPDATE ablate_lease SET deadline = clock_timestamp() - interval '1 s', lease_s = 0")
    store.reap(claim.study)


SETUPS: dict[str, Callable[[Store, Claim], object]] = {
    "waiting": expire,
    "leased": lambda store, claim: None,
    "done": lambda store, claim: store.finish(claim, result()),
    "failed": lambda store, claim: store.fail(claim, "diverged", "nan"),
    "cancelled": lambda store, claim: store.cancel(claim.study),
}
EVENTS: dict[str, Callable[[Store, Claim], object]] = {
    "claim": lambda store, claim: store.claim(claim.study, AGENT),
    "result": lambda store, claim: store.finish(claim, result()),
    "diverged": lambda store, claim: store.fail(claim, "diverged", "nan"),
    "crashed": lambda store, claim: store.fail(claim, "crashed", "SIGSEGV"),
    "killed": lambda store, claim: store.fail(claim, "killed", "SIGKILL"),
    "given back": lambda store, claim: store.release(claim, "Ctrl-C"),
    "lease runs out": expire,
    "`ablate cancel`": lambda store, claim: store.cancel(claim.study),
    "`ablate retry`": lambda store, claim: store.retry_failed(claim.study),
}


def test_the_table_knows_every_state_and_event() -> None:
    assert {state for state, _, _ in table()} == {str(state) for state in SlotState}
    assert {event for _, event, _ in table()} == set(EVENTS)


def test_every_event_in_every_state_does_what_the_table_says(store: Store) -> None:
    slot = PlannedSlot(key="search/ft/0", phase="search", arm="ft", context={}, index=0, seed=0)
    wrong = []
    for number, (state, event, after) in enumerate(table()):
        name = f"s{number}"
        store.register(name, {"question": "why?"}, "digest", [slot])
        claim = store.claim(name, AGENT)
        assert claim is not None
        SETUPS[state](store, claim)
        assert str(store.slots(name)[0].state) == state
        with suppress(LeaseLost):
            EVENTS[event](store, claim)
        found = str(store.slots(name)[0].state)
        if found != after:
            wrong.append(f"{state}, {event}: {found} instead of {after}")
        rows = store.database.rows("SELECT FROM ablate_lease WHERE study_id = :study", study=claim.study_id)
        assert len(rows) == (found == "leased"), (state, event)
    assert wrong == []


def registered(store: Store) -> str:
    """The shipped study of one arm and another, cut down."""
    spec = load_spec("sd_vs_lp", overrides=SMALL)
    store.register(spec.name, spec.document(), spec.digest(), plan(spec))
    return spec.name


def fill(store: Store, name: str, *, n: int = 1000) -> None:
    for _ in range(n):
        claim = store.claim(name, AGENT)
        if claim is None:
            return
        store.set_params(claim, {"ft_lr": 1e-4})
        store.finish(claim, result(0.5 + claim.slot.index / 100))


def states(store: Store, name: str, phase: str) -> set[str]:
    return {str(slot.state) for slot in store.slots(name) if slot.phase == phase}


@pytest.mark.parametrize("n_done", [0, 2])
def test_a_search_that_was_cancelled_is_not_sealed_by_itself(store: Store, n_done: int) -> None:
    name = registered(store)
    spec = load_spec("sd_vs_lp", overrides=SMALL)
    fill(store, name, n=n_done)
    store.cancel(name)
    assert states(store, name, "confirm") == {"cancelled"}
    assert advance(store, spec) is Step.BLOCKED
    assert store.study(name).seal is None
    store.retry_failed(name)
    assert advance(store, spec) is Step.NONE
    fill(store, name)
    assert advance(store, spec) is Step.SEALED
    fill(store, name)
    assert states(store, name, "confirm") == states(store, name, "search") == {"done"}


def test_a_confirmation_that_was_cancelled_goes_on_under_the_same_seal(store: Store) -> None:
    name = registered(store)
    spec = load_spec("sd_vs_lp", overrides=SMALL)
    fill(store, name)
    store.cancel(name)  # between the search and the seal
    assert states(store, name, "confirm") == {"cancelled"}
    assert advance(store, spec) is Step.SEALED
    sealed = store.study(name).seal
    store.retry_failed(name)
    fill(store, name, n=1)
    store.cancel(name)
    assert states(store, name, "confirm") == {"done", "cancelled"}
    store.retry_failed(name)
    fill(store, name)
    assert states(store, name, "confirm") == {"done"}
    assert store.cancel(name) == store.retry_failed(name) == 0
    assert store.study(name).seal == sealed


def test_a_study_with_cancelled_slots_ends_with_status_1(store: Store, store_url: str, tmp_path: Path) -> None:
    name = registered(store)
    fill(store, name)
    store.cancel(name)
    words = ["run", "--study", "sd_vs_lp", "--storage", store_url, "--quiet", *(f"--set={each}" for each in SMALL)]
    environment = os.environ | {"ABLATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "ablate", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "4 slots were cancelled" in done.stderr
