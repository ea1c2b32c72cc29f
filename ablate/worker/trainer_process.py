"""The agent's hold on its trainer process: start it, talk to it, see it die, start another."""

import contextlib
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from ablate.errors import LaunchError, OutOfMemory, TrainerKilled, TrainerLost, TrialError
from ablate.worker.device import visible_device
from ablate.worker.fork_server import Child, ForkServer
from ablate.worker.message import FromTrainer, Halt, Ready, TrialRequest, Unusable

ENTRY = "ablate.worker.trainer:main"
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # a trial's own fault are others
_STILLBORN = 3  # trainers in a row that died before they were ready: this machine cannot have one
_FATE_S = 2.0  # how long after the end of its connection a trainer's exit status may take


class TrainerProcess:
    """One trainer at a time, replaced when it dies. Where its fork server has died, a new one is started first."""

    def __init__(self, fork_server: ForkServer | None, *, device: str, n_threads: int, entry: str = ENTRY) -> None:
        """None is started yet.

        Args:
            fork server: forks it; None starts one when it is needed.
            device: "cpu", "cuda" or "cuda:N".
            n_threads: of torch in the trainer.
            entry: what the process calls; it speaks as ``message`` says.
        """
        self._fork_server = fork_server
        self._entry = entry
        self._device = device
        self._n_threads = n_threads
        self._child: Child | None = None
        self._n_stillborn = 0
        self._n_oom_kills = 0
        self.heard_at = time.monotonic()

    @property
    def connection(self) -> Connection | None:
        """To wait on; None while there is no trainer."""
        return self._child.connection if self._child else None

    @property
    def pid(self) -> int | None:
        """Of the trainer; None while there is none."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the trainer if there is none.

        Raises:
            LaunchError: trainers die here before they are ready.
        """
        if self._child is not None:
            return
        if self._n_stillborn >= _STILLBORN:
            raise LaunchError(
                f"{_STILLBORN} trainers in a row died at their start on {self._device}; see the lines above"
            )
        self._n_stillborn += 1  # until it says that it is ready
        self._n_oom_kills = _oom_kills()
        try:
            self._child = self._fork()
        except LaunchError:  # the fork server was killed
            self._fork_server = None
            self._child = self._fork()
        self.heard_at = time.monotonic()

    def send(self, message: TrialRequest | Halt) -> None:
        """Tell the trainer; silently nothing when it has died, which ``messages`` will find out."""
        self.heard_at = time.monotonic()
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.connection.send(message)

    def messages(self) -> Iterator[FromTrainer]:
        """What the trainer has said since the last time.

        Raises:
            TrainerLost: it has died, or was killed; the next ``start`` makes another.
            OutOfMemory: it was killed, and the kernel has killed for memory meanwhile.
        """
        while self._child is not None:
            try:
                if not self._child.connection.poll():
                    return
                message = self._child.connection.recv()
            except (EOFError, OSError) as error:
                raise self._bury() from error
            self.heard_at = time.monotonic()
            if isinstance(message, Ready):
                self._n_stillborn = 0
            yield message

    def ready(self, *, timeout_s: float) -> Ready:
        """Wait until the trainer has said that it is ready.

        Raises:
            LaunchError: it died instead, or took too long.
        """
        try:
            if self._child is not None and self._child.connection.poll(timeout_s):
                for message in self.messages():
                    if isinstance(message, Ready):
                        return message
                    if isinstance(message, Unusable):
                        raise LaunchError(message.message)
        except TrialError as error:
            raise LaunchError(f"{error} at its start; see the lines above") from error
        raise LaunchError(f"the trainer was not ready after {timeout_s:g} s; is this machine overloaded?")

    def kill(self) -> None:
        """End the trainer at once; no message comes any more."""
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._bury()

    def close(self) -> None:
        """End the trainer, which does so by itself when its connection ends, and let go of the fork server."""
        if self._child is not None:
            self._child.connection.close()
            self._child = None
        if self._fork_server is not None:
            self._fork_server.close()

    def _fork(self) -> Child:
        if self._fork_server is None:
            self._fork_server = ForkServer.start(n_threads=self._n_threads)
        device, environment = visible_device(self._device)
        return self._fork_server.fork(
            self._entry, name="ablate trainer", environment=environment, device=device, n_threads=self._n_threads
        )

    def _bury(self) -> TrialError:
        """Forget the dead trainer; what is known of its end."""
        child, self._child = self._child, None
        if child is None:
            return TrainerLost("there is no trainer process")
        child.connection.close()
        code = child.exit_code(timeout_s=_FATE_S)
        if code == -signal.SIGKILL and _oom_kills() > self._n_oom_kills:
            return OutOfMemory(f"trainer process {child.pid} was killed by the kernel: the machine ran out of memory")
        if code is not None and code < 0:
            kind = TrainerKilled if -code in _FROM_OUTSIDE else TrainerLost
            return kind(f"trainer process {child.pid} was killed by {signal.Signals(-code).name}")
        return TrainerLost(f"trainer process {child.pid} ended with status {'unknown' if code is None else code}")


def _oom_kills() -> int:
    """How often this kernel has killed a process for memory; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
