"""Entry points for the fork server's tests."""

import os
import signal
import sys
import threading

import psutil


def echo(*, connection, fork_server, times=1):
    """Send back what comes, multiplied, until the other end hangs up."""
    try:
        while True:
            connection.send(connection.recv() * times)
    except EOFError:
        return 3


def train(*, connection, fork_server):
    """Ten steps of a small network; how many pages the kernel had to give for the last five."""
    import resource

    import torch
    from torch import nn

    network = nn.Sequential(nn.Conv1d(12, 32, 9), nn.BatchNorm1d(32), nn.SiLU(), nn.Conv1d(32, 32, 9), nn.SiLU())
    signals = torch.ones(64, 12, 1000)
    n_faults = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        network(signals).sum().backward()
        n_faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    connection.send(sum(n_faults[5:]))


def crash(*, connection, fork_server):
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(*, connection, fork_server):
    sys.exit(5)


def describe(*, connection, fork_server):
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


def parent_of_another(*, connection, fork_server):
    """A child that has a child of its own from the same fork server."""
    other = fork_server.fork("forked_child:echo", times=3)
    other.connection.send("a")
    connection.send((other.connection.recv(), os.getppid(), psutil.Process(other.pid).ppid()))
