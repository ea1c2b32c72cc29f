"""``ablate status``: where a study stands, which machines work on it, what failed and why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ablate.cli.option import JsonOption, StorageOption, StudyOption, open_store, study_name
from ablate.cli.output import console, emit, emit_json
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from ablate.store.slot import Slot
    from ablate.store.store import Store
    from ablate.store.study import AgentRow, StudyRow
    from ablate.study.tuning import Tuning


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("status")(status)
    app.command("studies")(studies)


def status(study: StudyOption, storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Slots by phase and state, machines and their pace, agents and their leases, and the reason of each failure."""
    store, name = open_store(storage), study_name(study)
    phases, rows = _phases(store, name), store.agents(name)
    machines, agents = _machines(rows), [_agent(row) for row in rows if row.ended_at is None]
    versions = sorted({str(row.facts.get("version")) for row in rows})
    slots = store.slots(name)
    failed = [_failure(slot) for slot in slots if slot.state is SlotState.FAILED]
    row = store.study(name)
    searches = [_search(one) for one in _searches(store, row, slots)]
    if as_json:
        facts = {
            "study": name,
            "sealed_at": row.sealed_at,
            "phases": phases,
            "searches": searches,
            "machines": machines,
            "agents": agents,
        }
        emit_json({**facts, "versions": versions, "failures": failed})
        return
    emit(phases, title=f"{name}: {'sealed' if row.seal else 'not sealed'}")
    if searches:
        emit([_search_row(one) for one in searches], title="searches")
    if machines:
        emit(machines, title=f"machines; {', '.join(versions)}")
    if agents:
        emit(agents, title="agents at work")
    if failed:
        emit(failed, title="failures")
    if not sum(phase["waiting"] + phase["leased"] for phase in phases):
        console.print(f"all is done; see `ablate report --study {name}`", highlight=False)


def studies(storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Every study of the store."""
    store = open_store(storage)
    rows: list[dict[str, Any]] = []
    for name in store.studies():
        counts = store.counts(name)
        done, total = counts.of(SlotState.DONE), counts.total()
        rows.append({"study": name, "done": done, "slots": total, "question": store.study(name).spec["question"]})
    emit(rows, as_json=as_json)


def _phases(store: "Store", name: str) -> list[dict[str, Any]]:
    counts = store.counts(name)
    states = list(SlotState)
    return [
        {"phase": phase}
        | {str(state): counts.of(state, phase=phase) for state in states}
        | {"stopped_early": counts.stopped_early(phase=phase), "reused": counts.taken(phase=phase)}
        for phase in sorted(counts.by_phase, reverse=True)
    ]


def _searches(store: "Store", row: "StudyRow", slots: "Sequence[Slot]") -> "list[Tuning]":
    from ablate.study.spec import Spec
    from ablate.study.tuning import tunings

    return tunings(store, Spec.from_document(row.spec), slots)


def _search(one: "Tuning") -> dict[str, Any]:
    """How a search stands: its trials, the gain that more of them would bring, and optima at the ends of ranges."""
    return {**one.document(), "n_open": one.n_open}


def _search_row(search: dict[str, Any]) -> dict[str, Any]:
    gain, context = search["remaining_gain"], search["context"]
    return {
        "arm": search["arm"],
        "context": ", ".join(f"{name}={value}" for name, value in context.items()) or "-",
        "search": search["search"] + 1,
        "trials": search["n_trials"],
        "open": search["n_open"],
        "missing": search["n_missing"],
        "remaining_gain": "-" if gain is None else f"{gain:.4f}",
        "settled": "yes" if search["is_settled"] else "no",
        "optimum at": "; ".join(f"{edge['name']}={edge['value']:g}" for edge in search["edges"]) or "-",
    }


def _machines(rows: "Sequence[AgentRow]") -> list[dict[str, Any]]:
    """What each machine has done, and how fast in the last minutes."""
    from ablate.store.study import RECENT_S

    by_host: dict[str, list[AgentRow]] = {}
    for row in rows:
        by_host.setdefault(row.host, []).append(row)
    return [
        {
            "machine": host,
            "agents": sum(row.ended_at is None for row in ours),
            "devices": ", ".join(sorted({str(row.facts.get("gpu") or row.device) for row in ours})),
            "done": sum(row.n_done for row in ours),
            "done_per_h": round(sum(row.n_recent for row in ours) * 3600 / RECENT_S),
        }
        for host, ours in by_host.items()
    ]


def _agent(row: "AgentRow") -> dict[str, Any]:
    return {
        "agent": row.id,
        "device": row.device,
        "slot": row.slot,
        "doing": f"{row.progress.stage} {row.progress.epoch}/{row.progress.n_epochs}" if row.progress else "-",
        "done": row.n_done,
        "silent_s": round(row.silent_s),
        "lease_s": None if row.lease_left_s is None else round(row.lease_left_s),
    }


def _failure(slot: "Slot") -> dict[str, Any]:
    return {"slot": slot.key, "state": str(slot.state), "attempts": slot.attempts, "reason": slot.reason}
