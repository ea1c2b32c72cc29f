"""Root in a user's home, links in its way, and names of folders that a shell would execute."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ablate.errors import StoreError
from ablate.store.postgres_server import Server
from ablate.store.store import Store

USER = pwd.getpwnam("daemon").pw_uid
AS_USER = (
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search", "--",
)  # fmt: skip
IS_ROOT = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be two people")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every account reaches."""
    folder = Path(tempfile.mkdtemp(prefix="ablate-owner-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ablate(*words: str, home: Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "ablate", *words]
    environment = os.environ | {"ABLATE_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@IS_ROOT
def test_root_in_a_users_home_leaves_all_to_its_owner(place: Path) -> None:
    os.chown(place, USER, USER)
    home = place / "home"
    server = Server(home / "postgres")
    try:
        done = ablate("studies", home=home)
        assert done.returncode == 0, done.stderr
        status = server.status()
        assert psutil.Process(status.pid).uids().real == USER
        assert {path.lstat().st_uid for path in (home / "postgres").rglob("*")} == {home.stat().st_uid} == {USER}
        assert {path.lstat().st_mode & 0o077 for path in (home / "postgres").glob("*") if "lock" not in path.name} == {
            0
        }
        for words in (("storage", "stop"), ("studies",)):
            done = ablate(*words, home=home, before=AS_USER)
            assert done.returncode == 0, done.stderr
    finally:
        server.stop()


@IS_ROOT
@pytest.mark.parametrize("link", ["postgres", "postgres/data", "postgres/pgpass", "postgres/server.log"])
def test_root_follows_no_link(place: Path, link: str) -> None:
    target = place / "target"
    target.mkdir(mode=0o755)
    (place / link).parent.mkdir(exist_ok=True)
    (place / link).symlink_to(target)
    with pytest.raises(StoreError, match=f"{link}: is a link, and root follows none"):
        Server(place / "postgres").ensure_running()
    assert (target.stat().st_uid, target.stat().st_mode & 0o777, list(target.iterdir())) == (0, 0o755, [])


def test_no_shell_reads_the_name_of_a_folder(place: Path) -> None:
    home = place / '$(touch executed) `touch executed` ;touch executed; "q" é'
    server = Server(home / "postgres")
    try:
        store = Store(server.ensure_running())
        assert store.database.rows("SELECT 1 AS one")[0].one == 1
        store.disconnect()
        assert list(place.rglob("executed")) == list(Path.cwd().glob("executed")) == []
    finally:
        server.stop()


def test_a_server_that_cannot_start_says_why(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(place / "postgres")
    server.ensure_running()
    server.stop()
    monkeypatch.setattr("ablate.store.postgres_server._START_S", 1.0)
    with (place / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("shared_preload_libraries = 'no_such_library'\n")
    with pytest.raises(StoreError, match='could not access file "no_such_library"'):
        server.ensure_running()
