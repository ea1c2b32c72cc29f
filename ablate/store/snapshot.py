"""All tables of a study as they stood at one moment."""

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from jaxtyping import Float
from sqlalchemy.engine import Connection, Row

from ablate.errors import StoreError
from ablate.store import artifact
from ablate.store.database import Database, to_json
from ablate.store.result import CLASS_COLUMNS, EPOCH_COLUMNS
from ablate.store.table import StudyTables, TestFold

TEST_FOLD = "test_fold.npz"
_FACTS = ("best_epoch", "n_train", "peak_memory_bytes", "device", "precision")
_TEXT_COLUMNS = {"stage", "split", "class_name"}

_STUDY = "SELECT name, spec, spec_digest, created_at, seal FROM ablate_study WHERE id = :study"

_SLOTS = """
SELECT id AS slot_id, key, phase, arm, context, index, generation, seed, state, token AS attempts, reason, params
FROM ablate_slot WHERE study_id = :study ORDER BY ordinal
"""

_RESULTS = """
SELECT s.id AS slot_id, r.scores, r.epochs, r.class_scores, r.seconds, r.digests, r.facts
FROM ablate_slot s JOIN ablate_result r ON r.slot_id = s.id WHERE s.study_id = :study ORDER BY s.ordinal
"""

_ATTEMPTS = """
SELECT a.slot_id, a.token AS attempt, a.agent_id AS agent, a.host, a.device,
       a.started_at, a.ended_at, a.outcome, a.message
FROM ablate_attempt a JOIN ablate_slot s ON s.id = a.slot_id WHERE s.study_id = :study ORDER BY s.ordinal, a.token
"""

_TEST_READS = """
SELECT t.slot_id, s.key, t.opened_at, t.agent_id AS agent
FROM ablate_test_read t JOIN ablate_slot s ON s.id = t.slot_id WHERE s.study_id = :study ORDER BY t.opened_at, t.slot_id
"""

_TEST_FOLD = "SELECT content FROM ablate_artifact WHERE study_id = :study AND slot_id IS NULL AND name = :name"


def tables(database: Database, study_id: int) -> StudyTables:
    """The study's tables in one consistent snapshot.

    Raises:
        StoreUnavailable: the store is away.
    """

    def work(connection: Connection) -> StudyTables:
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return _read(connection, study_id, lambda slot, split: _probabilities(database, study_id, slot, split))

    return database.transact(work)


def _read(connection: Connection, study_id: int, read_probabilities: Callable[[int, str], Any]) -> StudyTables:
    def rows(statement: str, **values: Any) -> Sequence[Row[Any]]:
        return connection.execute(sa.text(statement), {"study": study_id, **values}).all()

    study = rows(_STUDY)[0]
    slots, results = rows(_SLOTS), rows(_RESULTS)
    slot_ids = [row.slot_id for row in results]
    return StudyTables(
        name=study.name,
        spec=study.spec,
        spec_digest=study.spec_digest,
        created_at=study.created_at,
        seal=study.seal,
        slots=_slot_frame(slots),
        params=_indexed([(row.slot_id, row.params) for row in slots if row.params is not None]),
        scores=_indexed([(row.slot_id, {**row.scores, **_facts(row.facts)}) for row in results]),
        epochs=_stacked(slot_ids, [row.epochs for row in results], EPOCH_COLUMNS),
        seconds=_stacked(slot_ids, [_by_stage(row.seconds) for row in results], ("stage", "seconds")),
        class_scores=_stacked(slot_ids, [row.class_scores for row in results], CLASS_COLUMNS),
        attempts=_frame(rows(_ATTEMPTS), _ATTEMPT_COLUMNS),
        test_reads=_frame(rows(_TEST_READS), ("slot_id", "key", "opened_at", "agent")),
        digests=_indexed([(row.slot_id, row.digests) for row in results]),
        test=_test_fold(rows(_TEST_FOLD, name=TEST_FOLD)),
        read_probabilities=read_probabilities,
    )


_SLOT_COLUMNS = (
    "slot_id", "key", "phase", "arm", "data_fraction", "context", "index", "generation", "seed",
    "state", "attempts", "reason",
)  # fmt: skip
_ATTEMPT_COLUMNS = ("slot_id", "attempt", "agent", "host", "device", "started_at", "ended_at", "outcome", "message")


def _slot_frame(slots: Sequence[Row[Any]]) -> pd.DataFrame:
    columns = {name: [row._mapping.get(name) for row in slots] for name in _SLOT_COLUMNS}
    columns["data_fraction"] = [row.context.get("data_fraction", np.nan) for row in slots]
    columns["context"] = [to_json(row.context) for row in slots]
    return pd.DataFrame(columns).astype({"data_fraction": float})


def _frame(rows: Sequence[Row[Any]], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame.from_records([tuple(row) for row in rows], columns=list(names))


def _indexed(items: Sequence[tuple[int, Mapping[str, Any]]]) -> pd.DataFrame:
    """A row for each slot that has such values; a value that is not there, or was not finite, is NaN."""
    index = pd.Index([slot_id for slot_id, _ in items], name="slot_id", dtype="int64")
    frame = pd.DataFrame([dict(values) for _, values in items], index=index)
    return frame.astype({name: float for name in frame if _is_numeric_with_gaps(frame[name])})


def _is_numeric_with_gaps(column: pd.Series) -> bool:
    return column.dtype == object and all(value is None or isinstance(value, float) for value in column)


def _stacked(
    slot_ids: Sequence[int], tables: Sequence[Mapping[str, Sequence[Any]]], names: Sequence[str]
) -> pd.DataFrame:
    """One long frame out of a small table for each slot."""
    lengths = [len(table[names[0]]) for table in tables]
    columns: dict[str, Any] = {"slot_id": np.repeat(np.array(slot_ids, dtype=np.int64), lengths)}
    for name in names:
        values = list(itertools.chain.from_iterable(table[name] for table in tables))
        columns[name] = (
            values if name in _TEXT_COLUMNS else np.array(values, dtype=np.int64 if name == "epoch" else float)
        )
    return pd.DataFrame(columns)


def _by_stage(seconds: Mapping[str, float]) -> dict[str, list[Any]]:
    return {"stage": list(seconds), "seconds": list(seconds.values())}


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _FACTS if name in facts}


def _test_fold(rows: Sequence[Row[Any]]) -> TestFold | None:
    if not rows:
        return None
    with np.load(io.BytesIO(rows[0].content), allow_pickle=False) as arrays:
        return TestFold(
            ecg_id=arrays["ecg_id"],
            patient_id=arrays["patient_id"],
            labels=arrays["labels"].astype(bool),
            classes=tuple(str(name) for name in arrays["classes"]),
        )


def _probabilities(database: Database, study_id: int, slot_id: int, split: str) -> Float[np.ndarray, "record label"]:
    content = artifact.read(database, study_id, slot_id, f"{split}.npz")
    if content is None:
        raise StoreError(f"slot {slot_id}: the store holds no probabilities on {split}; is the slot done?")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        probabilities: Float[np.ndarray, "record label"] = arrays["probabilities"]
    return probabilities
