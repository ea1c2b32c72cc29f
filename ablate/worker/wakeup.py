"""The wakeup that wakes an agent: signals and the store thread ring it; it can be waited on beside connections."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Wakeup:
    """Counts the signals that ask to stop, and wakes whoever waits on it. A second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self._hears, self._rings = socket.socketpair()
        for end in (self._hears, self._rings):
            end.setblocking(False)
        self.n_signals = 0
        self._last: signal.Signals | None = None

    @property
    def signal_name(self) -> str:
        """Of the last signal."""
        return self._last.name if self._last else ""

    def fileno(self) -> int:
        """Readable once it was rung."""
        return self._hears.fileno()

    def ring(self) -> None:
        """Wake who waits; from any thread."""
        with contextlib.suppress(OSError):  # full: wakes as well; closed: nobody waits any more
            self._rings.send(b"\0")

    def hush(self) -> None:
        """Forget that it was rung."""
        with contextlib.suppress(BlockingIOError):
            while self._hears.recv(4096):
                pass

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ring on signals that ask to stop, instead of dying of them; for the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Nobody waits any more."""
        for end in (self._hears, self._rings):
            end.close()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == self._last == signal.SIGINT:
            os._exit(128 + number)  # children end by the end of their connections
        self.n_signals += 1
        self._last = signal.Signals(number)
        self.ring()
