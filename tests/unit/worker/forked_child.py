"""Entry points for the fork server's tests."""

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

import psutil

from ablate.worker.fork_server import ForkServer


def echo(*, connection: Connection, fork_server: ForkServer, times: int = 1) -> None:
    """Send back what comes, multiplied, until the other end hangs up."""
    try:
        while True:
            connection.send(connection.recv() * times)
    except EOFError:
        return 3


def free(*, connection: Connection, fork_server: ForkServer) -> None:
    """How many of the bytes that it has written and freed a process still holds."""
    import torch

    def resident_bytes() -> int:
        return psutil.Process().memory_info().rss

    n_bytes = 16 << 20
    torch.ones(n_bytes, dtype=torch.uint8)  # whatever the first tensor brings with it
    before = resident_bytes()
    blocks = [torch.ones(n_bytes, dtype=torch.uint8) for _ in range(4)]
    held = resident_bytes() - before
    del blocks
    connection.send((held, resident_bytes() - before))


def crash(*, connection: Connection, fork_server: ForkServer) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(*, connection: Connection, fork_server: ForkServer) -> None:
    sys.exit(5)


def describe(*, connection: Connection, fork_server: ForkServer) -> None:
    """What the child is like: parent, threads, modules, environment, name."""
    connection.send(
        {
            "torch": "torch" in sys.modules,
            "threads": psutil.Process().num_threads(),
            "parent_threads": psutil.Process(os.getppid()).num_threads(),
            "parent": os.getppid(),
            "mark": os.environ.get("MARK"),
            "name": psutil.Process().name(),
            "handlers": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGCHLD)],
            "main": threading.current_thread() is threading.main_thread(),
        }
    )


def parent_of_another(*, connection: Connection, fork_server: ForkServer) -> None:
    """A child that has a child of its own from the same fork server."""
    other = fork_server.fork("forked_child:echo", times=3)
    other.connection.send("a")
    connection.send((other.connection.recv(), os.getppid(), psutil.Process(other.pid).ppid()))
