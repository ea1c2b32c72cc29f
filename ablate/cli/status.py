"""``ablate status``: where a study stands, which machines work on it, what failed and why."""

from typing import TYPE_CHECKING, Any

import typer

from ablate.cli.option import JsonOption, StorageOption, StudyOption, open_store, study_name
from ablate.cli.output import console, emit, emit_json
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from ablate.store.slot import Slot
    from ablate.store.store import Store
    from ablate.store.study import AgentRow


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("status")(status)
    app.command("studies")(studies)


def status(study: StudyOption, storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Slots by phase and state, agents with their machines and leases, and the reason of each failure."""
    store, name = open_store(storage), study_name(study)
    phases = _phases(store, name)
    agents = [_agent(row) for row in store.agents(name) if row.ended_at is None]
    slots = store.slots(name)
    failed = [_failure(slot) for slot in slots if slot.reason and slot.state is not SlotState.DONE]
    row = store.study(name)
    if as_json:
        emit_json({"study": name, "sealed_at": row.sealed_at, "phases": phases, "agents": agents, "failures": failed})
        return
    emit(phases, title=f"{name}: {'sealed' if row.seal else 'not sealed'}")
    if agents:
        emit(agents, title="agents")
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


def _agent(row: "AgentRow") -> dict[str, Any]:
    progress = row.progress or {}
    doing = (
        f"{progress.get('stage', '')} {progress.get('epoch', '')}/{progress.get('n_epochs', '')}" if progress else "-"
    )
    return {
        "agent": row.id,
        "device": row.device,
        "version": row.facts.get("version"),
        "slot": row.slot,
        "doing": doing,
        "done": row.n_done,
        "silent_s": round(row.silent_s, 1),
        "lease_left_s": None if row.lease_left_s is None else round(row.lease_left_s, 1),
    }


def _failure(slot: "Slot") -> dict[str, Any]:
    return {"slot": slot.key, "state": str(slot.state), "attempts": slot.attempts, "reason": slot.reason}
