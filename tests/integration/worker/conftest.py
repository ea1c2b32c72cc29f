"""Agents with everything real but the training: store, store thread, spool, fork server, pipes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from agent_workplace import Workplace

from ablate.store.store import Store
from ablate.worker.fork_server import ForkServer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """One fork server for all tests of this folder."""
    fork_server = ForkServer.start()
    yield fork_server
    fork_server.close()


@pytest.fixture
def make_workplace(fork_server: ForkServer, store: Store, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A workplace for a study with the given budget."""
    made = []

    def make(**budget: object) -> Workplace:
        made.append(Workplace(fork_server, store, tmp_path, **budget))
        return made[-1]

    yield make
    for wakeup in (wakeup for workplace in made for wakeup in workplace.wakeups):
        wakeup.close()


@pytest.fixture
def workplace(make_workplace: Callable[..., Any]) -> Workplace:
    return make_workplace()


@pytest.fixture
def in_background() -> Iterator[Callable[..., Any]]:
    """Call something in a thread; its future."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit
