"""Labels of test folds as the store keeps them, and which of its studies have opened the same ones."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.engine import Row

from ablate.errors import StoreError
from ablate.store import artifact
from ablate.store.study_tables import TestFold, TestReader

Rows = Callable[..., Sequence[Row[Any]]]  # of a statement and its values

_FOLDS = """
SELECT DISTINCT ON (digest) name, content, digest FROM ablate_artifact WHERE slot_id IS NULL AND name = :fold
"""

_READERS = """
SELECT y.name, y.seal, a.digest, min(t.opened_at) AS first_read, count(*) AS n_reads, max(s.index) + 1 AS n_blocks
FROM ablate_test_read t
JOIN ablate_slot s ON s.id = t.slot_id
JOIN ablate_study y ON y.id = s.study_id
JOIN ablate_artifact a ON a.study_id = y.id AND a.slot_id IS NULL AND a.name = :fold
GROUP BY y.id, a.id ORDER BY min(t.opened_at), y.name
"""


def test_fold(rows: Sequence[Row[Any]], *, prefix: str = "") -> TestFold | None:
    """The labels that the store keeps under names with ``prefix``; None where there are none.

    Raises:
        StoreError: the artifact is damaged.
    """
    if not rows:
        return None
    with np.load(io.BytesIO(artifact.content_of(rows[0])), allow_pickle=False) as arrays:
        if f"{prefix}labels" not in arrays:
            return None
        return TestFold(
            ecg_id=arrays[f"{prefix}ecg_id"],
            patient_id=arrays[f"{prefix}patient_id"],
            labels=arrays[f"{prefix}labels"].astype(bool),
            classes=tuple(str(name) for name in arrays["classes"]),
        )


def test_readers(rows: Rows) -> tuple[TestReader, ...]:
    """Every study that has opened its test fold and kept its labels, in the order of their first reads."""
    labels = _label_digests(rows(_FOLDS, fold=artifact.TEST_FOLD))
    return tuple(
        TestReader(
            study=row.name,
            labels=labels[row.digest],
            first_read=row.first_read,
            n_reads=row.n_reads,
            n_looks=_n_looks(row.seal or {}, row.n_blocks),
        )
        for row in rows(_READERS, fold=artifact.TEST_FOLD)
        if row.digest in labels
    )


def _label_digests(folds: Iterable[Row[Any]]) -> dict[str, str]:
    """Digest of the labels by that of the artifact, which may hold other things; without damaged ones."""
    by_artifact = {}
    for row in folds:
        try:
            fold = test_fold([row])
        except (StoreError, ValueError, KeyError):  # damaged, as the report of its own study says
            continue
        if fold is not None:
            by_artifact[str(row.digest)] = fold.digest
    return by_artifact


def _n_looks(seal: Mapping[str, Any], n_blocks: int) -> int:
    """At how many declared numbers of blocks a study has looked, extensions included; without any it looks once."""
    looks = [*((seal.get("inference") or {}).get("looks") or [seal.get("replicates", 0)]), *seal.get("extensions", [])]
    return max(1, sum(int(look) <= n_blocks for look in looks))
