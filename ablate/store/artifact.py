"""Artifacts in Postgres: predictions of slots, and what Optuna keeps through its own artifact protocol."""

import io
from typing import BinaryIO

from ablate.store.database import Database

TEST_FOLD = "test_fold.npz"  # an artifact that belongs to the study, not to one slot
PACKING = "packing/"  # and the name of a GPU: how many trainers should share one

_READ = """
SELECT content FROM ablate_artifact
WHERE study_id = :study AND slot_id IS NOT DISTINCT FROM :slot AND name = :name
"""
_PUT = """
INSERT INTO ablate_artifact (study_id, slot_id, name, content) VALUES (:study, NULL, :name, :content)
ON CONFLICT DO NOTHING RETURNING id
"""

_REPLACE = """
INSERT INTO ablate_artifact (study_id, slot_id, name, content) VALUES (:study, NULL, :name, :content)
ON CONFLICT (study_id, slot_id, name) DO UPDATE SET content = excluded.content
"""


def read(database: Database, study_id: int, slot_id: int | None, name: str) -> bytes | None:
    """Content of one artifact, None when there is none."""
    rows = database.rows(_READ, study=study_id, slot=slot_id, name=name)
    return bytes(rows[0].content) if rows else None


def put(database: Database, study_id: int, name: str, content: bytes) -> bool:
    """Keep ``content`` with the study unless an artifact of this name is there."""
    return bool(database.rows(_PUT, study=study_id, name=name, content=content))


def replace(database: Database, study_id: int, name: str, content: bytes) -> None:
    """Keep ``content`` with the study, in place of an older artifact of this name."""
    database.rows(_REPLACE, study=study_id, name=name, content=content)


class PostgresArtifactStore:
    """Optuna's ``ArtifactStore`` in the same database as the study, so that one address is all a user needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The artifact's content.

        Raises:
            optuna.artifacts.exceptions.ArtifactNotFound: as Optuna's protocol wants.
        """
        rows = self._database.rows("SELECT content FROM ablate_optuna_artifact WHERE id = :id", id=artifact_id)
        if not rows:
            raise _not_found(artifact_id)
        return io.BytesIO(rows[0].content)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the artifact, in place of an older one."""
        statement = """
            INSERT INTO ablate_optuna_artifact (id, content) VALUES (:id, :content)
            ON CONFLICT (id) DO UPDATE SET content = excluded.content
        """
        self._database.rows(statement, id=artifact_id, content=content_body.read())

    def remove(self, artifact_id: str) -> None:
        """Delete the artifact.

        Raises:
            optuna.artifacts.exceptions.ArtifactNotFound: as Optuna's protocol wants.
        """
        if not self._database.rows("DELETE FROM ablate_optuna_artifact WHERE id = :id RETURNING id", id=artifact_id):
            raise _not_found(artifact_id)


def _not_found(artifact_id: str) -> Exception:
    from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415 - takes a second to import

    return ArtifactNotFound(f"artifact {artifact_id}: not in the store")
