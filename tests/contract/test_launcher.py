"""One suite for every launcher: how its agents start, stand, stop and complain. Nothing here knows where they work.

Kubernetes places no agent without a cluster; what it asks of one, and what it makes of the answers, is tested against
an API server of our own in ``tests/unit/launch``.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.launch.launcher import Launcher, launch
from ablate.launch.local import LocalLauncher
from ablate.store.slot import SlotState
from ablate.store.store import Store
from ablate.study.plan import plan
from ablate.study.spec import Spec
from ablate.worker.agent_options import AgentOptions

N_AGENTS = 2


@pytest.fixture
def ray_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Launcher]]:
    ray = pytest.importorskip("ray", reason="needs ablate-ecg[ray]")
    from ablate.launch.ray.launcher import RayLauncher, RayOptions

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=N_AGENTS, num_gpus=0, include_dashboard=False, object_store_memory=80 << 20)
    yield lambda: RayLauncher(RayOptions(device="cpu"))
    ray.shutdown()


@pytest.fixture
def slurm_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Launcher]]:
    pytest.importorskip("submitit", reason="needs ablate-ecg[slurm]")
    from slurm_cluster import SlurmCluster

    from ablate.launch.slurm.launcher import SlurmLauncher, SlurmOptions

    if (missing := SlurmCluster.missing()) is not None:
        pytest.skip(missing)
    cluster = SlurmCluster(tmp_path / "slurm")
    try:
        cluster.start()
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        yield lambda: SlurmLauncher(SlurmOptions(device="cpu", time_limit_min=10))
    finally:
        cluster.stop()


@pytest.fixture(
    params=[
        "local",
        pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.filterwarnings("default")]),
        pytest.param("slurm", marks=[pytest.mark.cluster, pytest.mark.filterwarnings("default")]),
    ]
)
def make_launcher(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Launcher]:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    if request.param == "local":
        return LocalLauncher
    make: Callable[[], Launcher] = request.getfixturevalue(f"{request.param}_launcher")
    return make


def register(store: Store, *, ft_epochs: int = 1) -> Spec:
    spec = Spec.from_document(
        {
            "name": "placed",
            "question": "Does it matter who places an agent?",
            "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
            "encoder": {"name": "net1d_small", "weights": "random"},
            "fixed": {"ft_epochs": ft_epochs, "batch_size": 64},
            "space": {"drop_path_rate": {"low": 0.0, "high": 0.5}},
            "arms": {"ft": {"drop_path_rate": 0.0}, "sd": {}},
            "budget": {"search_trials": 2, "generation": 2},
        }
    )
    store.register(spec.name, spec.document(), spec.digest(), plan(spec), space=spec.space)
    return spec


def options(store_url: str, study: str = "placed") -> list[AgentOptions]:
    return [AgentOptions(study=study, storage=store_url, lease_s=6.0)] * N_AGENTS  # they say often how far they are


def test_agents_fill_the_study_and_each_has_a_status(
    make_launcher: Callable[[], Launcher], store: Store, store_url: str
) -> None:
    spec = register(store)
    alive: list[int] = []
    statuses = launch(
        make_launcher(),
        options(store_url),
        on_tick=lambda statuses: alive.append(sum(status.is_alive for status in statuses)),
    )
    assert max(alive) == N_AGENTS
    assert [(status.is_alive, status.exit_status, status.complaint) for status in statuses] == [(False, 0, None)] * 2
    assert store.counts(spec.name).of(SlotState.DONE) == 4


def test_agents_that_are_asked_to_stop_give_their_slots_back(
    make_launcher: Callable[[], Launcher], store: Store, store_url: str
) -> None:
    spec = register(store, ft_epochs=500)
    with closing(make_launcher()) as launcher:
        launcher.start(options(store_url))
        while not any(row.progress and row.progress.stage == "finetune" for row in store.agents(spec.name)):
            assert any(status.is_alive for status in launcher.watch(timeout_s=0.2))
        launcher.stop()
        while any(status.is_alive for status in launcher.watch(timeout_s=0.2)):
            pass
        launcher.stop()  # of nobody
    counts = store.counts(spec.name)
    assert (counts.of(SlotState.WAITING), counts.of(SlotState.LEASED)) == (4, 0)
    assert not any(row.is_at_work for row in store.agents(spec.name))


def test_agents_that_cannot_work_say_why_in_one_line(
    make_launcher: Callable[[], Launcher], store: Store, store_url: str
) -> None:
    statuses = launch(make_launcher(), options(store_url, study="nobody"))
    assert [status.exit_status for status in statuses] == [StoreError.exit_status] * 2
    for status in statuses:
        assert status.complaint is not None
        assert "study nobody" in status.complaint
        assert "\n" not in status.complaint
