"""The fork server: real processes, forked from one that has torch."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from ablate.errors import LaunchError
from ablate.worker.fork_server import PROCESS_NAME, ForkServer


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    """One for all tests that leave it alive; its imports take seconds."""
    fork_server = ForkServer.start()
    yield fork_server
    fork_server.close()


def test_child_answers_and_ends_when_we_hang_up(fork_server: ForkServer) -> None:
    child = fork_server.fork("forked_child:echo", times=2)
    child.connection.send("ab")
    assert child.connection.recv() == "abab"
    assert child.exit_code(timeout_s=0) is None
    child.connection.close()
    assert child.exit_code(timeout_s=10) == 3


def test_child_has_torch_but_no_thread_or_handler_of_the_fork_server(fork_server: ForkServer) -> None:
    told = fork_server.fork("forked_child:describe", name="ablate test", environment={"MARK": "x"}).connection.recv()
    assert told.pop("parent") != os.getpid()
    assert told == {
        "torch": True, "threads": 1, "parent_threads": 1, "mark": "x", "name": "ablate test",
        "handlers": [signal.SIG_DFL, signal.SIG_DFL], "main": True,
    }  # fmt: skip
    assert "MARK" not in os.environ


def test_fork_server_can_be_found_by_its_name(fork_server: ForkServer) -> None:
    fork_server.fork("forked_child:describe").connection.recv()  # by then it has come up
    assert psutil.Process(fork_server.pid).name() == PROCESS_NAME


def test_child_keeps_the_memory_that_it_frees(fork_server: ForkServer) -> None:
    held, kept = fork_server.fork("forked_child:free").connection.recv()
    assert held >= 3 * (16 << 20)
    assert kept == pytest.approx(held, rel=0.1)  # else the kernel has it back, and gives it anew page by page


@pytest.mark.parametrize(
    ("entry", "code"),
    [("forked_child:crash", -signal.SIGSEGV), ("forked_child:fail", 5), ("forked_child:no_such", 1)],
)
def test_how_a_child_ended_is_known(fork_server: ForkServer, entry: str, code: int) -> None:
    child = fork_server.fork(entry)
    with pytest.raises(EOFError):
        child.connection.recv()
    assert child.exit_code(timeout_s=10) == code


def test_killed_child_ends_its_connection_and_no_other(fork_server: ForkServer) -> None:
    one, two = fork_server.fork("forked_child:echo"), fork_server.fork("forked_child:echo")
    one.send_signal(signal.SIGKILL)
    with pytest.raises(EOFError):
        one.connection.recv()
    assert one.exit_code(timeout_s=10) == -signal.SIGKILL
    one.send_signal(signal.SIGKILL)  # nothing happens to whoever has its number now
    two.connection.send("b")
    assert two.connection.recv() == "b"
    two.connection.close()


def test_child_can_ask_the_same_fork_server_for_children(fork_server: ForkServer) -> None:
    answer, parent, parent_of_other = fork_server.fork("forked_child:parent_of_another").connection.recv()
    assert answer == "aaa"
    assert parent == parent_of_other


def test_fork_server_ignores_the_terminal_and_ends_with_its_last_asker() -> None:
    fork_server = ForkServer.start()
    child = fork_server.fork("builtins:print")  # refuses its arguments, which is as good as an end
    process = psutil.Process(fork_server.pid)
    assert os.getsid(process.pid) != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)
    assert child.exit_code(timeout_s=30) == 1
    child.connection.close()
    fork_server.close()
    assert process.wait(30) in (0, None)


def test_death_of_the_fork_server_is_an_error_and_its_children_live() -> None:
    fork_server = ForkServer.start()
    child = fork_server.fork("ablate.worker.trainer:main")
    ready = child.connection.recv()
    assert ready.code
    os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
    with pytest.raises(LaunchError, match="has died"):
        fork_server.fork("ablate.worker.trainer:main")
    trainer = psutil.Process(child.pid)
    assert trainer.is_running()
    child.connection.close()
    trainer.wait(10)
    fork_server.close()
