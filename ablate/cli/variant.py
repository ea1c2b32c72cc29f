"""Studies told apart: which keys make a study another than its file, how far it is, and what its arms score."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ablate.document import flat
from ablate.errors import SpecError
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from ablate.store.store import Store
    from ablate.store.study_tables import StudyTables

State = Literal["new", "running", "stopped", "done", "failed"]
STATES: tuple[State, ...] = get_args(State)
_PROSE = ("name", "question", "notes", "titles", "claims")
_LONGEST = 40
Changes = dict[str, tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class StudyLine:
    """A study in a list.

    Attributes:
        changed: keys in which it differs from the study whose name stands before its "@", with both values.
        state: "new" before its first slot, "running" while agents work, "stopped" in between, "done", or "failed" where
            slots have failed and none is left.
        active_at: when an agent last gave a sign of life.
    """

    name: str
    question: str
    changed: Changes
    state: State
    n_done: int
    n_slots: int
    created_at: datetime
    active_at: datetime | None

    @property
    def title(self) -> str:
        """The name, and what makes it another than its file: ``sd_vs_lp@1a2b3c · replicates=3``."""
        return variant_title(self.name, self.changed)


def variant_title(name: str, changed: Changes) -> str:
    """See ``StudyLine.title``."""
    return " · ".join([name, *(f"{key.rpartition('.')[2]}={short(new)}" for key, (_, new) in changed.items())])


def study_lines(store: "Store") -> list[StudyLine]:
    """Every study of the store, oldest first."""
    return [_line(store, name) for name in store.studies()]


def _line(store: "Store", name: str) -> StudyLine:
    row, counts, agents = store.study(name), store.counts(name), store.agents(name)
    n_done = counts.of(SlotState.DONE)
    state: State
    if any(agent.is_at_work for agent in agents):
        state = "running"
    elif counts.unfinished():
        state = "stopped" if agents else "new"
    else:
        state = "failed" if counts.of(SlotState.FAILED) or counts.of(SlotState.CANCELLED) else "done"
    return StudyLine(
        name=name,
        question=row.spec["question"],
        changed=variation(store, name, row.spec),
        state=state,
        n_done=n_done,
        n_slots=counts.total(),
        created_at=row.created_at,
        active_at=max((agent.seen_at for agent in agents), default=None),
    )


def variation(store: "Store", name: str, document: Mapping[str, Any]) -> Changes:
    """Keys that ``--set`` changed; nothing for a file's own study, or where its file is no longer there."""
    base, at, _ = name.partition("@")
    if not at:
        return {}
    try:
        return changed_keys(document_of(base, store), document)
    except SpecError:
        return {}


def document_of(name: str, store: "Store") -> Mapping[str, Any]:
    """Spec of a study in the store, or else of its file; of the file where a path is given.

    Raises:
        SpecError: there is neither.
    """
    from ablate.study.file import load_spec

    return store.study(name).spec if name in store.studies() else load_spec(name).document()


def scores_of(name: str, document: Mapping[str, Any], store: "Store") -> dict[tuple[str, str], float]:
    """``arm_scores`` of a study in the store; a file has those of the stored study that it still describes."""
    stored = Path(name).stem if name.endswith(".toml") else name
    if stored not in store.studies() or changed_keys(store.study(stored).spec, document):
        return {}
    return arm_scores(store.tables(stored))


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Dotted keys whose values differ, prose apart; a table that became one value, or was one, is one key."""
    old, new = (dict(flat({key: value for key, value in one.items() if key not in _PROSE})) for one in (before, after))
    keys = dict.fromkeys(_shared_key(key, old, new) for key in [*old, *new])
    values = {key: (_value_at(before, key), _value_at(after, key)) for key in keys}
    return {key: (one, other) for key, (one, other) in values.items() if one != other}


def _shared_key(key: str, *documents: Mapping[str, Any]) -> str:
    """``key``, or the table it lies in, where that is one value in one of the flat ``documents``."""
    parts = key.split(".")
    tables = (".".join(parts[:n]) for n in range(1, len(parts)))
    return next((table for table in tables if any(table in document for document in documents)), key)


def _value_at(document: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, None where there is none."""
    value: Any = document
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def arm_scores(tables: "StudyTables") -> dict[tuple[str, str], float]:
    """Mean validation AUROC of each arm's confirming trials by arm and context; where there are none, of all."""
    slots = tables.slots.set_index("slot_id")
    scores = tables.scores
    if scores.empty:
        return {}
    rows = scores.join(slots[["arm", "context", "phase"]])
    confirmed = rows[rows["phase"] == "confirm"]
    means = (rows if confirmed.empty else confirmed).groupby(["arm", "context"])["val_auroc"].mean()
    return {(str(arm), "" if context == "{}" else str(context)): float(mean) for (arm, context), mean in means.items()}


def short(value: Any) -> str:
    """A value for a line of a table."""
    if isinstance(value, Mapping) and value.get("low") is not None and value.get("low") == value.get("high"):
        return short(value["low"])
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key} = {short(item)}" for key, item in value.items()) + "}"
    else:
        text = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
