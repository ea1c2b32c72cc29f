"""However a study is stopped, its slots are given back, no process stays, and it can be taken up again."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from subprocess import Popen

import psutil
import pytest
from command_folder import SMALL_STUDY, Workplace

from ablate.store.postgres_server import Server
from ablate.store.store import Store
from ablate.store.study import AgentRow
from ablate.study.file import load_spec
from ablate.study.plan import plan

STUDY = "small"
LEASE_S = "2"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A workplace for all tests of this module; its trials take minutes."""
    folder = tmp_path_factory.mktemp("stop")
    (folder / "studies").mkdir()
    (folder / "studies" / "small.toml").write_text(SMALL_STUDY.replace("ft_epochs = 1", "ft_epochs = 100"))
    workplace = Workplace(folder)
    yield workplace
    for process in processes(workplace):
        process.kill()
    Server(folder / "home" / "postgres").stop()


@pytest.fixture
def store(place: Workplace) -> Iterator[Store]:
    place.ablate("storage", "start")
    store = Store(Server(place.folder / "home" / "postgres").url)
    store.create_schema()
    spec = load_spec(str(place.study))
    store.register(STUDY, spec.document(), spec.digest(), plan(spec))  # `ablate worker` registers nothing
    yield store
    store.disconnect()


def processes(place: Workplace) -> list[psutil.Process]:
    """Everything that ``ablate`` has started here, Postgres apart."""
    home, found = place.environment["ABLATE_HOME"], []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("ABLATE_HOME") == home and process.status() != psutil.STATUS_ZOMBIE
            if is_ours and "postgres" not in process.name():
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_for(is_true: Callable[[], object], *, timeout_s: float = 300) -> None:
    until = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until, "it never came true"
        threading.Event().wait(0.1)


def busy(store: Store) -> list[AgentRow]:
    """Agents that have told of a finished epoch of fine-tuning."""
    return [
        row for row in store.agents(STUDY) if row.slot and row.progress is not None and row.progress.stage == "finetune"
    ]


def states(store: Store) -> set[str]:
    return {str(slot.state) for slot in store.slots(STUDY)}


def started(place: Workplace, store: Store, *words: str, n_agents: int) -> Popen:
    process = place.start(*words, "--study", STUDY, "--lease", LEASE_S, "--allow-mixed")
    wait_for(lambda: process.poll() is not None or (STUDY in store.studies() and len(busy(store)) == n_agents))
    assert process.poll() is None, process.communicate()
    return process


def test_ctrl_c_checkpoints_gives_back_and_leaves_no_process(place: Workplace, store: Store) -> None:
    process = started(place, store, "run", "--workers", "2", n_agents=2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on from here" in out
    assert states(store) == {"waiting"}
    assert len(list((place.folder / "home" / "checkpoints").rglob("*.ckpt"))) == 2
    assert processes(place) == []


def test_ctrl_c_twice_leaves_no_process_and_a_study_that_can_go_on(place: Workplace, store: Store) -> None:
    process = started(place, store, "run", "--workers", "2", n_agents=2)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: processes(place) == [])
    wait_for(lambda: store.reconcile(STUDY) and states(store) == {"waiting"})


def test_agents_of_a_killed_launcher_checkpoint_give_back_and_end(place: Workplace, store: Store) -> None:
    process = started(place, store, "run", "--workers", "2", n_agents=2)
    process.kill()
    process.communicate()
    wait_for(lambda: processes(place) == [])
    assert states(store) == {"waiting"}


def test_stop_from_elsewhere_reaches_every_agent(place: Workplace, store: Store) -> None:
    process = started(place, store, "run", "--workers", "2", n_agents=2)
    place.ablate("stop", "--study", STUDY)
    process.communicate(timeout=60)
    assert states(store) == {"waiting"}
    assert processes(place) == []


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGUSR1, signal.SIGINT))],
)
def test_worker_that_is_preempted_gives_its_slot_back(place: Workplace, store: Store, number: int) -> None:
    store.clear_stop(STUDY)
    process = started(place, store, "worker", n_agents=1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "asked to stop" in out
    assert states(store) == {"waiting"}
    assert processes(place) == []
