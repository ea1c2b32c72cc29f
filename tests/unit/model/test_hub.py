import sys
from pathlib import Path

import pytest

from ablate.errors import CheckpointError
from ablate.model import hub

REVISION = "0" * 40


def cached(cache: Path) -> Path:
    """The hub's cache as a download leaves it."""
    repository = cache / f"models--{hub.REPOSITORY.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    file = repository / "snapshots" / REVISION / hub.FILES["ecgfounder"]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return file


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_cached_copy_needs_no_network(tmp_path: Path) -> None:
    file = cached(tmp_path)
    assert hub.fetch("ecgfounder", cache_dir=tmp_path).read_bytes() == file.read_bytes()


def test_without_network_and_copy_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not in the hub's cache.*HF_HUB_OFFLINE"):
        hub.fetch("ecgfounder", cache_dir=tmp_path)


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"ablate-ecg\[hub\]"):
        hub.fetch("ecgfounder", cache_dir=tmp_path)


def test_only_what_is_published_can_be_fetched() -> None:
    with pytest.raises(CheckpointError, match=r"'net1d_small' cannot be fetched.*ecgfounder"):
        hub.fetch("net1d_small")
