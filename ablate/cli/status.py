"""``ablate status``: where a study stands, which machines work on it, what failed and why."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from ablate.cli.option import JsonOption, StorageOption, StudyArgument, StudyOption, open_store, stored_study
from ablate.cli.output import emit_json, emit_list, say
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from ablate.cli.wording import Wording
    from ablate.store.slot import Slot
    from ablate.store.store import Store
    from ablate.store.study import AgentRow
    from ablate.study.spec import Spec
    from ablate.study.tuning import Tuning

_WORDS = {"leased": "at work"}
_ALWAYS = ("phase", "done", "waiting")
_ORDER = ("phase", "done", "leased", "waiting", "failed", "cancelled", "stopped_early", "reused")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("status")(status)


def status(
    study: StudyArgument = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Trials by phase and state, machines and their pace, agents at work, and the reason of each failure."""
    from ablate.cli.variant import variant_title, variation
    from ablate.cli.wording import Wording
    from ablate.study.spec import Spec
    from ablate.study.tuning import tunings

    store = open_store(storage)
    name = stored_study(store, study, study_option)
    row, slots, agents = store.study(name), store.slots(name), store.agents(name)
    phases, at_work = _phases(store, name), [agent for agent in agents if agent.is_at_work]
    failed = [slot for slot in slots if slot.state is SlotState.FAILED]
    changed, spec = variation(store, name, row.spec), Spec.from_document(row.spec)
    searches = tunings(store, spec, slots)
    if as_json:
        from ablate.cli.document import StatusDocument, change_parts

        document = StatusDocument.model_validate(
            {
                "study": name,
                "changed": change_parts(changed),
                "sealed_at": row.sealed_at,
                "phases": phases,
                "searches": [{**search.document(), "n_open": search.n_open} for search in searches],
                "machines": _machines(agents),
                "agents": [_agent_document(agent, slots) for agent in at_work],
                "versions": _versions(agents),
                "failures": [_failure_document(slot) for slot in failed],
            }
        )
        emit_json(document.model_dump(mode="json"))
        return
    wording = Wording(spec, slots)
    say(f"{variant_title(name, changed)}: {_sentence(phases, at_work)}, {'sealed' if row.seal else 'not sealed'}")
    emit_list(_shown_phases(phases, wording))
    if searches:
        say("", "searches")
        emit_list(_with_something([_search(search, spec) for search in searches]))
    if agents:
        say("", f"machines ({', '.join(_versions(agents))})")
        emit_list(_machines(agents))
    if at_work:
        say("", "at work")
        emit_list([_agent(agent, wording) for agent in at_work])
    if failed:
        say("", "failures")
        emit_list([_failure(slot, wording) for slot in failed])
    if not sum(phase["waiting"] + phase["leased"] for phase in phases):
        say("", f"all is done; see `ablate report {name}`")


def _sentence(phases: Sequence[dict[str, Any]], at_work: "Sequence[AgentRow]") -> str:
    done = sum(phase["done"] for phase in phases)
    total = sum(phase[str(state)] for phase in phases for state in SlotState)
    return f"{done} of {total} trials done, " + (f"{len(at_work)} agents at work" if at_work else "nobody at work")


def _phases(store: "Store", name: str) -> list[dict[str, Any]]:
    counts = store.counts(name)
    return [
        {"phase": phase}
        | {str(state): counts.of(state, phase=phase) for state in SlotState}
        | {"stopped_early": counts.stopped_early(phase=phase), "reused": counts.taken(phase=phase)}
        for phase in sorted(counts.by_phase, reverse=True)
    ]


def _shown_phases(phases: Sequence[dict[str, Any]], wording: "Wording") -> list[dict[str, Any]]:
    """Without columns that hold nothing but zeros."""
    shown = [key for key in _ORDER if key in _ALWAYS or any(phase[key] for phase in phases)]
    return [
        {_WORDS.get(key, key.replace("_", " ")): wording.phase(phase[key]) if key == "phase" else phase[key]
         for key in shown}
        for phase in phases
    ]  # fmt: skip


def _with_something(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without columns in which no row says anything."""
    shown = [key for key in (rows[0] if rows else ()) if any(row[key] not in ("-", 0) for row in rows)]
    return [{key: row[key] for key in shown} for row in rows]


def _search(search: "Tuning", spec: "Spec") -> dict[str, Any]:
    """How a search stands: its trials, the gain that more of them would bring, and optima at the ends of ranges."""
    from ablate.cli.wording import context_words

    document = search.document()
    gain = document["remaining_gain"]
    number = f"search {document['search'] + 1}" if spec.budget.searches > 1 else ""
    return {
        "search of": ", ".join(filter(None, (spec.title(document["arm"]), context_words(document["context"]), number))),
        "trials": document["n_trials"],
        "open": search.n_open,
        "missing": document["n_missing"],
        "remaining gain": "-" if gain is None else f"{gain:.4f}",
        "settled": "yes" if document["is_settled"] else "no",
        "optimum at": "; ".join(f"{edge['name']}={edge['value']:g}" for edge in document["edges"]) or "-",
    }


def _machines(rows: "Sequence[AgentRow]") -> list[dict[str, Any]]:
    """What each machine has done, and how fast: in the last minutes, or in the time that there was."""
    by_host: dict[str, list[AgentRow]] = {}
    for row in rows:
        by_host.setdefault(row.host, []).append(row)
    return [
        {
            "machine": host,
            "agents": sum(row.is_at_work for row in ours),
            "devices": ", ".join(sorted({str(row.facts.get("gpu") or row.device) for row in ours})),
            "done": sum(row.n_done for row in ours),
            "done_per_h": _pace(ours),
        }
        for host, ours in by_host.items()
    ]


def _pace(rows: "Sequence[AgentRow]") -> int:
    """Trials an hour: of the last minutes while agents work, else of all the time in which some did."""
    from ablate.store.study import RECENT_S

    begun = min(row.started_at for row in rows)
    if any(row.is_at_work for row in rows):
        span_s = min(RECENT_S, (datetime.now(UTC) - begun).total_seconds())
        n_done = sum(row.n_recent for row in rows)
    else:
        span_s = (max(row.seen_at for row in rows) - begun).total_seconds()
        n_done = sum(row.n_done for row in rows)
    return round(n_done * 3600 / max(1.0, span_s))


def _versions(rows: "Sequence[AgentRow]") -> list[str]:
    return sorted({str(row.facts.get("version")) for row in rows})


def _agent(row: "AgentRow", wording: "Wording") -> dict[str, Any]:
    doing, epoch, score = wording.doing(row.progress)
    return {
        "trial": "-" if row.slot is None else wording.slot(row.slot),
        "doing": f"{doing} {epoch}".strip() if row.slot else "waiting for a trial",
        "AUROC": score,
        "on": f"{row.host} {row.device}",
    }


def _agent_document(row: "AgentRow", slots: "Sequence[Slot]") -> dict[str, Any]:
    slot = next((slot for slot in slots if slot.key == row.slot), None)
    return {
        "agent": row.id,
        "host": row.host,
        "device": row.device,
        "slot": row.slot,
        "arm": None if slot is None else slot.arm,
        "context": None if slot is None else slot.context,
        "progress": None if row.progress is None else row.progress.document(),
        "done": row.n_done,
        "silent_s": round(row.silent_s),
        "lease_s": None if row.lease_left_s is None else round(row.lease_left_s),
    }


def _failure(slot: "Slot", wording: "Wording") -> dict[str, Any]:
    return {
        "trial": f"{wording.phase(slot.phase)}: {wording.slot(slot.key)}",
        "tries": slot.attempts,
        "reason": slot.reason,
    }


def _failure_document(slot: "Slot") -> dict[str, Any]:
    return {
        "slot": slot.key, "phase": slot.phase, "arm": slot.arm, "context": slot.context, "state": str(slot.state),
        "attempts": slot.attempts, "reason": slot.reason,
    }  # fmt: skip
