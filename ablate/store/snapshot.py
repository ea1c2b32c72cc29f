"""All tables of a study as they stood at one moment."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from jaxtyping import Float
from pyarrow import json as arrow_json
from sqlalchemy.engine import Connection, Row

from ablate.errors import StoreError
from ablate.store import artifact
from ablate.store.database import Database, to_json
from ablate.store.result import CLASS_COLUMNS, EPOCH_COLUMNS
from ablate.store.study_tables import StudyTables
from ablate.store.test_fold import test_fold, test_readers

_FACTS = ("best_epoch", "n_train", "n_val", "n_skipped", "peak_memory_bytes", "device", "precision", "lost_classes")
_KINDS = {"stage": pa.string(), "split": pa.string(), "class_name": pa.string(), "epoch": pa.int64()}
_EPOCHS = {name: _KINDS.get(name, pa.float64()) for name in EPOCH_COLUMNS}
_CLASSES = {name: _KINDS.get(name, pa.float64()) for name in CLASS_COLUMNS}
_SECONDS = {"stage": pa.string(), "seconds": pa.float64()}

_STUDY = "SELECT name, spec, spec_digest, created_at, seal, sealed_at FROM ablate_study WHERE id = :study"

_SLOTS = """
SELECT id AS slot_id, key, phase, arm, context, search, index, generation, seed, state, token AS attempts, reason,
       stopped_epoch, reused_from, params
FROM ablate_slot WHERE study_id = :study ORDER BY ordinal
"""

_RESULTS = """
SELECT s.id AS slot_id, r.scores, r.epochs::text AS epochs, r.class_scores::text AS class_scores,
       r.seconds, r.digests, r.facts
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

_TEST_FOLD = (
    "SELECT name, content, digest FROM ablate_artifact WHERE study_id = :study AND slot_id IS NULL AND name = :name"
)

_PACKINGS = """
SELECT name, content, digest FROM ablate_artifact
WHERE study_id = :study AND slot_id IS NULL AND starts_with(name, :name)
ORDER BY name
"""


def tables(database: Database, study_id: str, *, read_artifact: Callable[[int, str], bytes | None]) -> StudyTables:
    """The study's tables in one consistent snapshot.

    Raises:
        StoreUnavailable: the store is away.
    """

    def read_probabilities(slot_id: int, split: str) -> Float[np.ndarray, "record label"]:
        return _probabilities(read_artifact(slot_id, f"{split}.npz"), slot_id, split)

    def work(connection: Connection) -> StudyTables:
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return _read(connection, study_id, read_probabilities)

    return database.transact(work)


def _read(connection: Connection, study_id: str, read_probabilities: Callable[[int, str], Any]) -> StudyTables:
    def rows(statement: str, **values: Any) -> Sequence[Row[Any]]:
        return connection.execute(sa.text(statement), {"study": study_id, **values}).all()

    study = rows(_STUDY)[0]
    slots, results = rows(_SLOTS), rows(_RESULTS)
    slot_ids = [row.slot_id for row in results]
    kept_fold = rows(_TEST_FOLD, name=artifact.TEST_FOLD)
    test = test_fold(kept_fold)
    return StudyTables(
        name=study.name,
        spec=study.spec,
        spec_digest=study.spec_digest,
        created_at=study.created_at,
        seal=None if study.seal is None else {**study.seal, "sealed_at": study.sealed_at.isoformat()},
        slots=_slot_frame(slots),
        params=_indexed([(row.slot_id, row.params) for row in slots if row.params is not None]),
        scores=_indexed([(row.slot_id, {**row.scores, **_facts(row.facts)}) for row in results]),
        epochs=_stacked(slot_ids, [row.epochs for row in results], _EPOCHS),
        seconds=_stacked(slot_ids, [_by_stage(row.seconds) for row in results], _SECONDS),
        class_scores=_stacked(slot_ids, [row.class_scores for row in results], _CLASSES),
        attempts=_frame(rows(_ATTEMPTS), _ATTEMPT_COLUMNS),
        test_reads=_frame(rows(_TEST_READS), ("slot_id", "key", "opened_at", "agent")),
        digests=_indexed([(row.slot_id, row.digests) for row in results]),
        test=test,
        external=test_fold(kept_fold, prefix="external_"),
        readers=() if test is None else tuple(one for one in test_readers(rows) if one.labels == test.digest),
        read_probabilities=read_probabilities,
        packings=tuple(json.loads(artifact.content_of(row)) for row in rows(_PACKINGS, name=artifact.PACKING)),
    )


_SLOT_COLUMNS = (
    "slot_id", "key", "phase", "arm", "data_fraction", "context", "search", "index", "generation", "seed",
    "state", "attempts", "reason", "stopped_epoch", "reused_from",
)  # fmt: skip
_STORED_SLOT_COLUMNS = tuple(name for name in _SLOT_COLUMNS if name != "data_fraction")
_ATTEMPT_COLUMNS = ("slot_id", "attempt", "agent", "host", "device", "started_at", "ended_at", "outcome", "message")


def _slot_frame(slots: Sequence[Row[Any]]) -> pd.DataFrame:
    frame = _frame(slots, (*_STORED_SLOT_COLUMNS, "params"))
    frame["data_fraction"] = [float(row.context.get("data_fraction", math.nan)) for row in slots]
    frame["stopped_epoch"] = frame["stopped_epoch"].astype(float)
    frame["reused_from"] = [
        row.reused_from and f"{row.reused_from['study']}: {row.reused_from['slot']}" for row in slots
    ]
    frame["context"] = [to_json(row.context) for row in slots]
    return frame[list(_SLOT_COLUMNS)]


def _frame(rows: Sequence[Row[Any]], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame.from_records([tuple(row) for row in rows], columns=list(names))


def _indexed(items: Sequence[tuple[int, Mapping[str, Any]]]) -> pd.DataFrame:
    """A row for each slot that has such values; a value that is not there, or was not finite, is NaN."""
    index = pd.Index([slot_id for slot_id, _ in items], name="slot_id", dtype="int64")
    frame = pd.DataFrame([dict(values) for _, values in items], index=index)
    return frame.astype({name: float for name in frame if _is_numeric_with_gaps(frame[name])})


def _is_numeric_with_gaps(column: pd.Series) -> bool:
    return column.dtype == object and all(value is None or isinstance(value, float) for value in column)


def _stacked(slot_ids: Sequence[int], texts: Sequence[str], columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """One long frame out of a small table for each slot, each told as JSON with a list for each column.

    Arrow reads them all in one go: with ten thousand slots, Python's own reader takes longer than all the rest.
    """
    if not texts:
        return pd.DataFrame({"slot_id": np.array([], dtype=np.int64), **{name: [] for name in columns}})
    schema = pa.schema([(name, pa.list_(kind)) for name, kind in columns.items()])
    table = arrow_json.read_json(
        io.BytesIO("\n".join(texts).encode()),
        read_options=arrow_json.ReadOptions(block_size=max(len(text) for text in texts) + 2**22),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema),
    )
    lengths = pc.list_value_length(table[next(iter(columns))]).to_numpy()
    stacked = {name: pc.list_flatten(table[name]).to_pandas() for name in columns}
    return pd.DataFrame({"slot_id": np.repeat(np.array(slot_ids, dtype=np.int64), lengths), **stacked})


def _by_stage(seconds: Mapping[str, float]) -> str:
    return to_json({"stage": list(seconds), "seconds": list(seconds.values())})


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _FACTS if name in facts}


def _probabilities(content: bytes | None, slot_id: int, split: str) -> Float[np.ndarray, "record label"]:
    if content is None:
        raise StoreError(f"slot {slot_id}: the store holds no probabilities on {split}; is the slot done?")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        probabilities: Float[np.ndarray, "record label"] = arrays["probabilities"]
    return probabilities
