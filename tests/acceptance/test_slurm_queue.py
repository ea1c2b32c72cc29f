"""A real Slurm of one node: an array fills a study; an element that is told to go checkpoints and comes back."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cluster_study import Faults, assert_equal, assert_filled, fill_here, register, write_study
from slurm_cluster import SlurmCluster

from ablate.errors import LaunchError
from ablate.launch.launcher import AgentStatus, launch
from ablate.store.store import Store
from ablate.worker.agent_options import AgentOptions

pytest.importorskip("submitit", reason="needs ablate-ecg[slurm]")
missing = SlurmCluster.missing()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(missing is not None, reason=missing or ""),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(autouse=True)
def submitting(slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine can submit, and has a home of its own."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))


def test_element_told_to_go_checkpoints_and_is_requeued(
    store: Store, store_url: str, empty_url: str, tmp_path: Path
) -> None:
    from ablate.launch.slurm.launcher import SlurmLauncher, SlurmOptions

    spec = write_study(tmp_path, ft_epochs=2, search_trials=5, replicates=2)
    register(store, spec)
    seen: list[Sequence[AgentStatus]] = []
    faults = Faults(store, spec.name, {3: lambda: send_usr1(seen[-1])}, limit_s=1500)

    def on_tick(statuses: Sequence[AgentStatus]) -> None:
        seen.append(statuses)
        faults(statuses)

    statuses = launch(
        SlurmLauncher(SlurmOptions(gpus_per_worker=0.5, device="cpu", time_limit_min=60)),
        [AgentOptions(study=spec.name, storage=store_url)] * 3,
        on_tick=on_tick,
    )

    assert faults.all_done
    assert [status.exit_status for status in statuses] == [0, 0, 0]
    assert statuses[0].n_starts == statuses[1].n_starts == 2  # they share an element
    assert_filled(store_url, spec.name, 14)
    fill_here(empty_url, spec)
    assert_equal(store_url, empty_url, spec.name)


def send_usr1(statuses: Sequence[AgentStatus]) -> None:
    """As Slurm does before the time limit."""
    subprocess.run(["scancel", "--signal=USR1", statuses[0].place.split()[0]], check=True)


def test_password_lies_in_no_file(store: Store, store_url: str, tmp_path: Path) -> None:
    from ablate.launch.slurm.launcher import SlurmLauncher, SlurmOptions

    spec = write_study(tmp_path)
    register(store, spec)
    launcher = SlurmLauncher(SlurmOptions(device="cpu", time_limit_min=10))
    try:
        launcher.start([AgentOptions(study=spec.name, storage=store_url.replace("ablate@", "ablate:hush-hush@"))])
        files = [path for path in (tmp_path / "home" / "slurm").rglob("*") if path.is_file()]
        assert any(b"--signal=USR1@120" in path.read_bytes() for path in files)
        assert not [path for path in files if b"hush-hush" in path.read_bytes()]
    finally:
        launcher.stop(at_once=True)
        launcher.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partition": "nowhere"}, "partition=nowhere"),
        ({"account": "x", "constraint": "unobtainium"}, "sbatch refuses"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, str], said: str, store_url: str) -> None:
    from ablate.launch.slurm.launcher import SlurmLauncher, SlurmOptions

    with pytest.raises(LaunchError, match=said) as caught:
        launch(SlurmLauncher(SlurmOptions(**options)), [AgentOptions(study="s", storage=store_url)])
    assert "\n" not in str(caught.value)


def test_folder_that_nodes_do_not_see_is_named(store: Store, store_url: str, tmp_path: Path) -> None:
    """The node's folder of the same name is another one: its token differs."""
    from ablate.launch.slurm.launcher import SlurmLauncher, SlurmOptions

    spec = write_study(tmp_path)
    register(store, spec)
    launcher = SlurmLauncher(SlurmOptions(device="cpu", time_limit_min=10))
    (tmp_path / "home" / ".ablate-token").write_text("of another folder")
    try:
        launcher.start([AgentOptions(study=spec.name, storage=store_url)])
        while (status := launcher.watch(timeout_s=0.5)[0]).is_alive:
            pass
        assert status.exit_status == LaunchError.exit_status
        assert "does not see the folder" in (status.complaint or "")
    finally:
        launcher.close()
