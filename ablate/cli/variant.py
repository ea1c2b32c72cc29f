"""Studies told apart: which keys make a study another than its file, how far it is, and what its arms score."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ablate.errors import SpecError
from ablate.store.slot import SlotState

if TYPE_CHECKING:
    from ablate.store.store import Store
    from ablate.store.study_tables import StudyTables

STATES = ("new", "running", "stopped", "done", "failed")
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
    state: str
    n_done: int
    n_slots: int
    created_at: datetime
    active_at: datetime | None

    @property
    def title(self) -> str:
        """The name, and what makes it another than its file: ``sd_vs_lp@1a2b3c · replicates=3``."""
        return " · ".join(
            [self.name, *(f"{key.rpartition('.')[2]}={short(new)}" for key, (_, new) in self.changed.items())]
        )

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "study": self.name,
            "base": self.name.partition("@")[0],
            "changed": {key: {"before": old, "after": new} for key, (old, new) in self.changed.items()},
            "state": self.state,
            "done": self.n_done,
            "slots": self.n_slots,
            "created_at": self.created_at.isoformat(),
            "active_at": None if self.active_at is None else self.active_at.isoformat(),
            "question": self.question,
        }


def study_lines(store: "Store") -> list[StudyLine]:
    """Every study of the store, oldest first."""
    return [_line(store, name) for name in store.studies()]


def _line(store: "Store", name: str) -> StudyLine:
    row, counts, agents = store.study(name), store.counts(name), store.agents(name)
    n_done = counts.of(SlotState.DONE)
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
    """Spec of a study in the store, or else of its file.

    Raises:
        SpecError: there is neither.
    """
    from ablate.study.file import load_spec

    return store.study(name).spec if name in store.studies() else load_spec(name).document()


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Dotted keys whose values differ, prose apart."""
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = list(dict.fromkeys([*old, *new]))
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


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


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if not prefix and key in _PROSE:
            continue
        if isinstance(value, Mapping) and value and not {"low", "choices"} & set(value):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
