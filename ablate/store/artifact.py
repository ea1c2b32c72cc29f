"""Artifacts in Postgres: predictions and kept weights of slots, and what belongs to a whole study."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Row

from ablate import digest
from ablate.errors import StoreError
from ablate.store.access import StoreAccess
from ablate.store.database import to_json

TEST_FOLD = "test_fold.npz"  # an artifact that belongs to the study, not to one slot
WEIGHTS = "weights.safetensors"  # of a confirmed slot, in a study that keeps them
MOST_WEIGHTS_BYTES = 500_000_000  # they travel as text of twice the length, of which Postgres takes a gigabyte
PACKING = "packing/"  # and the name of a GPU: how many trainers should share one

_READ = """
SELECT name, content, digest FROM ablate_artifact
WHERE study_id = :study AND slot_id IS NOT DISTINCT FROM :slot AND name = :name
"""
_HOLDERS = "SELECT slot_id FROM ablate_artifact WHERE study_id = :study AND slot_id IS NOT NULL AND name = :name"
_WITHOUT_PREDICTIONS = """
SELECT s.key FROM ablate_slot s
WHERE s.study_id = :study AND s.phase = 'confirm' AND s.state = 'done'
  AND NOT EXISTS (SELECT FROM ablate_artifact a WHERE a.slot_id = s.id AND a.name = 'test.npz')
ORDER BY s.ordinal
"""
_PUT = """
INSERT INTO ablate_artifact (study_id, slot_id, name, content, digest)
SELECT id, NULL, :name, :content, :digest FROM ablate_study WHERE id = :study
ON CONFLICT DO NOTHING RETURNING id
"""
_REPLACE = """
INSERT INTO ablate_artifact (study_id, slot_id, name, content, digest)
SELECT id, NULL, :name, :content, :digest FROM ablate_study WHERE id = :study
ON CONFLICT (study_id, slot_id, name) DO UPDATE SET content = excluded.content, digest = excluded.digest
"""


def content_of(row: Row[Any]) -> bytes:
    """Content of an artifact from its name, content and digest.

    Raises:
        StoreError: it is not what was written.
    """
    content = bytes(row.content)
    if digest.of_bytes(content) != row.digest:
        raise StoreError(
            f"artifact {row.name}: damaged in the store, its {len(content)} bytes are not those that were written "
            f"(SHA-256 {row.digest[: digest.SHORT]}); restore the database from a backup"
        )
    return content


class Artifacts(StoreAccess):
    """Named bytes of slots and studies."""

    def read_artifact(self, name: str, slot_id: int | None, artifact_name: str) -> bytes | None:
        """Content of an artifact of a slot, or of the study when ``slot_id`` is None; None when there is none.

        Raises:
            StoreError: it is damaged.
        """
        rows = self.database.rows(_READ, study=self._study_id(name), slot=slot_id, name=artifact_name)
        return content_of(rows[0]) if rows else None

    def slots_with(self, name: str, artifact_name: str) -> frozenset[int]:
        """Slots of the study that have an artifact of this name."""
        rows = self.database.rows(_HOLDERS, study=self._study_id(name), name=artifact_name)
        return frozenset(row.slot_id for row in rows)

    def without_predictions(self, name: str) -> list[str]:
        """Keys of finished confirming slots whose predictions on the test fold are gone."""
        return [str(row.key) for row in self.database.rows(_WITHOUT_PREDICTIONS, study=self._study_id(name))]

    def put_study_artifact(self, name: str, artifact_name: str, content: bytes) -> bool:
        """Keep ``content`` with the study; False when one of this name is there already, which stays."""
        values = {"name": artifact_name, "content": content, "digest": digest.of_bytes(content)}
        return bool(self.database.rows(_PUT, study=self._study_id(name), **values))

    def packing(self, name: str, gpu: str) -> dict[str, Any] | None:
        """What a pilot of the study found on a GPU of this name, None where there was none."""
        content = self.read_artifact(name, None, PACKING + gpu)
        packing: dict[str, Any] | None = None if content is None else json.loads(content)
        return packing

    def keep_packing(self, name: str, packing: Mapping[str, Any]) -> None:
        """Keep what a pilot found, in place of an earlier one on a GPU of the same name, ``packing["gpu"]``."""
        content = to_json(packing).encode()
        values = {"name": PACKING + packing["gpu"], "content": content, "digest": digest.of_bytes(content)}
        self.database.rows(_REPLACE, study=self._study_id(name), **values)
