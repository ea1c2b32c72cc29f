"""What is asked of a Ray cluster before anything starts on it."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import LaunchError
from ablate.launch.ray.cluster import RayOptions, connect, import_ray, require_room, usable_nodes
from ablate.launch.remote.address import is_loopback, others, require_reachable, without_password
from ablate.launch.remote.compatibility import Site, look_around, require_alike
from ablate.launch.remote.shared_folder import Token

FAR = "203.0.113.7"  # an address for documents, nobody's


def node(name: str, *, cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerAddress": FAR, "Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}}


@pytest.mark.parametrize(
    ("gpus_per_worker", "room"),
    [(0.0, 8 + 4), (1.0, 2 + 3), (0.5, 4 + 4), (0.4, 4 + 4), (0.3, 6 + 4), (1 / 3, 6 + 4), (0.6, 2 + 3)],
)
def test_share_of_a_gpu_lies_on_one_gpu(gpus_per_worker: float, room: int) -> None:
    nodes = [node("a", cpus=8, gpus=2), node("b", cpus=4, gpus=3), node("dead", cpus=64, gpus=8, alive=False)]
    found = usable_nodes(nodes, RayOptions(gpus_per_worker=gpus_per_worker))
    assert sum(each.room for each in found) == room


def test_more_gpus_than_exist_names_how_many_fit() -> None:
    options = RayOptions(gpus_per_worker=0.5)
    nodes = usable_nodes([node("a", cpus=16, gpus=2), node("head", cpus=4)], options)
    require_room(nodes, {"GPU": 2, "CPU": 20}, options, n_agents=4)
    with pytest.raises(LaunchError, match=r"--workers 16 with 0\.5 GPUs.*has 2 GPUs.*use --workers 4"):
        require_room(nodes, {"GPU": 2, "CPU": 20}, options, n_agents=16)


@pytest.mark.parametrize("options", [{"gpus_per_worker": 1.5}, {"gpus_per_worker": -0.5}, {"cpus_per_worker": 0}])
def test_impossible_shares_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(LaunchError, match=r"per.worker"):
        RayOptions(**options)  # type: ignore[arg-type]


def test_missing_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LaunchError, match=r"pip install 'ablate-ecg\[ray\]'"):
        import_ray()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:x"])
def test_cluster_that_is_not_there_is_one_line(address: str) -> None:
    """Ray is not asked at all: it would try for a minute, and then end this process."""
    with pytest.raises(LaunchError, match="no Ray cluster answers") as caught:
        connect(None, RayOptions(address=address))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://me@localhost/a",
        "postgresql://me@127.0.0.1:5433/a?passfile=/x",
        "postgresql://[::1]/a",
        "postgresql:///a",
        "postgresql:///a?host=/run/postgresql",
    ],
)
def test_storage_on_localhost_is_refused_for_another_machine_only(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    require_reachable(storage, ["127.0.0.1", socket.gethostname()], what="Ray node")
    with pytest.raises(LaunchError, match=rf"another machine on Ray node {FAR}"):
        require_reachable(storage, ["127.0.0.1", FAR], what="Ray node")


def test_storage_elsewhere_is_welcome() -> None:
    require_reachable(f"postgresql://me@{FAR}/a", [FAR, "203.0.113.8"], what="Ray node")
    assert not is_loopback(FAR)
    assert others([FAR, "127.0.0.1"]) == [FAR]


def test_password_travels_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert without_password("postgresql://me@h/a") == ("postgresql+psycopg://me@h/a", {})
    plain, environment = without_password("postgresql://me:p%40ss@h/a?sslmode=require")
    assert plain == "postgresql+psycopg://me@h/a?sslmode=require"
    assert environment == {"PGPASSWORD": "p@ss"}
    monkeypatch.setenv("PGPASSWORD", "theirs")
    assert without_password("postgresql://me@h/a")[1] == {"PGPASSWORD": "theirs"}


def test_token_tells_a_folder_from_another_of_its_name(tmp_path: Path) -> None:
    token = Token.of(tmp_path / "shared")
    assert Token.of(tmp_path / "shared") == token
    token.require("here")
    (tmp_path / "shared").rename(tmp_path / "away")
    assert not token.is_here(patience_s=0)
    Token.of(tmp_path / "shared")
    assert not token.is_here(patience_s=0)
    assert look_around(token).has_folder is False


def site(host: str, **differences: Any) -> Site:
    return Site(**({"host": host, "python": "3.11", "torch": "2.13.0"} | differences))


def test_machines_must_be_alike(tmp_path: Path) -> None:
    require_alike([site("a"), site("b")])
    with pytest.raises(LaunchError, match=r"differ in torch: a has 2\.13\.0, b has 2\.12\.1"):
        require_alike([site("a"), site("b", torch="2.12.1")])
    require_alike([site("a"), site("b", torch="2.12.1")], allow_mixed=True)
    with pytest.raises(LaunchError, match=r"differ in python"):
        require_alike([site("a"), site("b", python="3.12")])
    with pytest.raises(LaunchError, match=r"b: torch is not installed"):
        require_alike([site("a"), site("b", torch="none")], allow_mixed=True)
    with pytest.raises(LaunchError, match=r"--shared-dir .*: b does not see"):
        require_alike([site("a"), site("b", has_folder=False)], token=Token.of(tmp_path))
