"""One suite for every store of artifacts that Optuna can be given."""

import io
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, download_artifact, upload_artifact
from optuna.artifacts._protocol import ArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from ablate.store.artifact import PostgresArtifactStore
from ablate.store.store import Store

Make = Callable[[], ArtifactStore]


@pytest.fixture(params=["postgres", "files"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "files":
        return FileSystemArtifactStore(tmp_path)
    store: Store = request.getfixturevalue("store")
    return PostgresArtifactStore(store.database)


def test_what_is_written_is_read(artifacts: ArtifactStore) -> None:
    content = bytes(range(256)) * 5000
    artifacts.write("a", io.BytesIO(content))
    with artifacts.open_reader("a") as reader:
        assert reader.read(10) == content[:10]
        assert reader.read() == content[10:]


def test_writing_again_replaces(artifacts: ArtifactStore) -> None:
    artifacts.write("a", io.BytesIO(b"old and long"))
    artifacts.write("a", io.BytesIO(b"new"))
    with artifacts.open_reader("a") as reader:
        assert reader.read() == b"new"


def test_what_is_not_there_is_not_found(artifacts: ArtifactStore) -> None:
    with pytest.raises(ArtifactNotFound):
        artifacts.open_reader("a")
    with pytest.raises(ArtifactNotFound):
        artifacts.remove("a")


def test_what_is_removed_is_gone(artifacts: ArtifactStore) -> None:
    artifacts.write("a", io.BytesIO(b"x"))
    artifacts.write("b", io.BytesIO(b"y"))
    artifacts.remove("a")
    with pytest.raises(ArtifactNotFound):
        artifacts.open_reader("a")
    with artifacts.open_reader("b") as reader:
        assert reader.read() == b"y"


def test_optuna_keeps_the_artifact_of_a_study_in_it(artifacts: ArtifactStore, tmp_path: Path) -> None:
    study = optuna.create_study()
    (tmp_path / "given.txt").write_text("predictions")
    artifact_id = upload_artifact(artifact_store=artifacts, file_path=str(tmp_path / "given.txt"), study_or_trial=study)
    download_artifact(artifact_store=artifacts, artifact_id=artifact_id, file_path=str(tmp_path / "found.txt"))
    assert (tmp_path / "found.txt").read_text() == "predictions"
