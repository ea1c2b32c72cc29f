"""A process with torch imported that forks others in hundredths of a second.

Importing torch costs three seconds a process; forking a process that has it costs 0.03 s and shares its memory. So one
fork server serves a machine: launchers let it fork agents, agents let it fork trainers. It is single-threaded and never
touches CUDA, or its children could not. It lives in a session of its own (Ctrl-C in the terminal is for whoever
started it), and ends when the last process that can ask it for children has gone; its children end by the end of
their own connections.

The standard library's fork server is not used because a child of it cannot ask the same server for children.
"""

import contextlib
import gc
import importlib
import os
import pickle  # between processes of our own only, over an inherited socket
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from ablate.errors import LaunchError

PRELOADED = ("torch", "ablate.worker.trainer", "ablate.worker.agent_start")
WARM_UP = "ablate.worker.trainer:warm_up"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# glibc gives large blocks back to the kernel when they are freed and gets them again at the next batch: the page faults
# cost a sixth of a CPU's time. Children keep them; blocks of more than 32 MB are given back as before.
PROCESS_NAME = "ablate fork srv"  # the kernel keeps 15 letters
_KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
_START = "import sys; sys.path[:] = sys.argv[2:]; from ablate.worker.fork_server import main; main(int(sys.argv[1]))"
_LARGEST_REQUEST = 1 << 16  # bytes; a request names an entry point and a few plain arguments
_FAREWELL_S = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@dataclass(frozen=True)
class _Birth:
    entry: str
    name: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, str]


@dataclass
class Child:
    """A process that the fork server forked; ``connection`` is its only tie to us: at its end the child ends."""

    pid: int
    connection: Connection
    _fork_server: "ForkServer" = field(repr=False)

    def exit_code(self, *, timeout_s: float) -> int | None:
        """How it ended, as ``subprocess`` counts (-9: killed by signal 9); None while it lives or nobody knows."""
        return self._fork_server.exit_code(self.pid, timeout_s=timeout_s)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the child is gone."""
        if self._fork_server.exit_code(self.pid, timeout_s=0) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer:
    """The asking side: forks children through an inherited socket. Not for several threads at once."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self._control = control
        self._process = process
        self._exit_codes: dict[int, int] = {}
        self._unborn: int | None = None

    @classmethod
    def start(cls, *, n_threads: int = 1) -> "ForkServer":
        """Start one; returns at once, its imports go on meanwhile.

        Args:
            n_threads: of torch and BLAS in each child; must be fixed before torch is imported.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**_KEPT_MEMORY, **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(n_threads))},
                start_new_session=True,
            )
        return cls(ours, process)

    @property
    def pid(self) -> int | None:
        """Of the fork server's process; None in a process that did not start it."""
        return self._process.pid if self._process else None

    def fork(
        self, entry: str, *, name: str = "ablate", environment: Mapping[str, str] | None = None, **arguments: Any
    ) -> Child:
        """A new process that calls ``entry`` ("package.module:function") with ``connection``, ``fork_server`` and
        ``arguments``.

        Raises:
            LaunchError: the fork server has died.
        """
        ours, theirs = socket.socketpair()
        control, for_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = pickle.dumps(_Birth(entry, name, arguments, environment or {}))
        try:
            with theirs, control, for_child:
                descriptors = [theirs.fileno(), control.fileno(), for_child.fileno()]
                socket.send_fds(self._control, [request], descriptors)
            pid = self._await_birth()
        except OSError as error:
            ours.close()
            raise LaunchError(f"the process that starts trainers has died ({error}); start again") from error
        return Child(pid, Connection(ours.detach()), self)

    def exit_code(self, pid: int, *, timeout_s: float) -> int | None:
        """See ``Child.exit_code``."""
        with contextlib.suppress(OSError):
            while pid not in self._exit_codes and self._readable(timeout_s):
                self._read_notice()
        return self._exit_codes.get(pid)

    def close(self) -> None:
        """Ask for nothing more; the fork server ends when nobody is left who could."""
        self._control.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL_S)
            self._process.returncode = self._process.returncode or 0  # others may keep it: it outlives us then

    def _await_birth(self) -> int:
        self._unborn = None
        while self._unborn is None:
            self._read_notice()
        return self._unborn

    def _read_notice(self) -> None:
        notice = self._control.recv(_LARGEST_REQUEST)
        if not notice:
            raise ConnectionResetError("end of its connection")
        word, pid, code = pickle.loads(notice)  # noqa: S301 - written by our own fork server
        if word == "born":
            self._unborn = pid
        else:
            self._exit_codes[pid] = code

    def _readable(self, timeout_s: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            return bool(selector.select(timeout_s))


class _Server:
    """The forking side: one thread, one selector, no state but who asked for whom."""

    def __init__(self, root: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._requesters: dict[int, socket.socket] = {}  # by pid of the child
        self._clients = {root}
        self._selector.register(root, selectors.EVENT_READ)
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # must have a handler to wake the selector
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Fork and reap until nobody is left who could ask."""
        while self._clients:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._reap()
                elif isinstance(key.fileobj, socket.socket):
                    self._answer(key.fileobj)
        self._close_all()

    def _answer(self, client: socket.socket) -> None:
        try:
            request, descriptors, _, _ = socket.recv_fds(client, _LARGEST_REQUEST, 3)
        except OSError:
            request, descriptors = b"", []
        if not request:
            self._forget(client)
            return
        birth: _Birth = pickle.loads(request)  # noqa: S301 - written by our own fork server
        connection, control, for_child = descriptors
        pid = os.fork()
        if pid == 0:
            os.close(control)
            self._close_all()
            _live(birth, connection, for_child)
        os.close(connection)
        os.close(for_child)
        self._admit(socket.socket(fileno=control))
        self._requesters[pid] = client
        self._tell(client, ("born", pid, 0))

    def _admit(self, client: socket.socket) -> None:
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ)

    def _forget(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._clients.discard(client)
        client.close()

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(_LARGEST_REQUEST)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._tell(self._requesters.pop(pid), ("gone", pid, os.waitstatus_to_exitcode(status)))

    def _tell(self, client: socket.socket, notice: tuple[str, int, int]) -> None:
        if client in self._clients:
            with contextlib.suppress(OSError):
                client.send(pickle.dumps(notice), socket.MSG_DONTWAIT)

    def _close_all(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for client in (*self._clients, self._woken, self._waker):
            client.close()


def _live(birth: _Birth, connection: int, control: int) -> NoReturn:
    """What a child does from the fork to its end; it never returns into the fork server's code."""
    code = 1
    try:
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(birth.environment)
        _call_myself(birth.name)
        fork_server = ForkServer(socket.socket(fileno=control))
        code = (
            _entry_point(birth.entry)(connection=Connection(connection), fork_server=fork_server, **birth.arguments)
            or 0
        )
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _call_myself(name: str) -> None:
    """What ``ps`` and ``top`` show instead of "python", at most 15 characters."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _entry_point(entry: str) -> Callable[..., int | None]:
    module, _, function = entry.partition(":")
    entry_point: Callable[..., int | None] = getattr(importlib.import_module(module), function)
    return entry_point


def main(control: int) -> None:
    """Import what children need, then serve."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _call_myself(PROCESS_NAME)
    for module in PRELOADED:
        importlib.import_module(module)
    _entry_point(WARM_UP)()
    gc.freeze()  # what was imported is never collected, so its pages stay shared with the children
    _Server(socket.socket(fileno=control)).serve()
    os._exit(0)  # nothing is to be tidied up, and taking torch apart takes long
