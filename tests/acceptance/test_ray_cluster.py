"""A Ray cluster on one machine that loses a node and an actor midway loses no slot and changes no result."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_study import Faults, assert_equal, assert_filled, fill_here, register, write_study

from ablate.errors import LaunchError
from ablate.launch.launcher import AgentStatus, launch
from ablate.store.store import Store
from ablate.worker.agent_options import AgentOptions

ray = pytest.importorskip("ray", reason="needs ablate-ecg[ray]")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.whole_machine,
    pytest.mark.filterwarnings("default"),  # Ray's own, such as its sockets that are left to the collector
]
N_AGENTS, N_SLOTS = 4, 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for agents, and three nodes of 4 CPUs and 2 GPUs as far as Ray is told."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(3):
            cluster.add_node(num_cpus=4, num_gpus=2, object_store_memory=80 << 20)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_more_gpus_than_the_cluster_has_are_refused(cluster: Any, store_url: str) -> None:
    from ablate.launch.ray.launcher import RayLauncher, RayOptions

    options = RayOptions(address=cluster.address, gpus_per_worker=0.5)
    with pytest.raises(LaunchError, match=r"has 6 GPUs and 12 CPUs, room for 12 such workers; use --workers 12"):
        launch(RayLauncher(options), [AgentOptions(study="s", storage=store_url)] * 13)
    assert not ray.is_initialized()


def test_cluster_loses_node_and_actor_midway(
    cluster: Any, store: Store, store_url: str, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablate.launch.ray.launcher import RayLauncher, RayOptions

    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    spec = write_study(tmp_path, search_trials=6, replicates=4)
    register(store, spec)
    seen: list[list[AgentStatus]] = []
    faults = Faults(
        store,
        spec.name,
        {
            4: lambda: kill_an_actor(seen[-1]),
            9: lambda: cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False),
        },
        limit_s=1500,
    )

    def on_tick(statuses: list[AgentStatus]) -> None:
        seen.append(list(statuses))
        faults(statuses)

    statuses = launch(
        RayLauncher(RayOptions(address=cluster.address, gpus_per_worker=0.5, device="cpu")),
        [AgentOptions(study=spec.name, storage=store_url, lease_s=6.0)] * N_AGENTS,
        on_tick=on_tick,
    )

    assert faults.all_done
    assert [status.exit_status for status in statuses] == [0] * N_AGENTS
    assert max(status.n_starts for status in statuses) > 1
    assert_filled(store_url, spec.name, N_SLOTS)
    fill_here(empty_url, spec)
    assert_equal(store_url, empty_url, spec.name)


def kill_an_actor(statuses: list[AgentStatus]) -> None:
    """kill -9 of the process that holds the first agent that was found."""
    place = next(status.place for status in statuses if "(" in status.place)
    os.kill(int(place.split("(")[1].rstrip(")")), signal.SIGKILL)
