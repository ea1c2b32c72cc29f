"""A TCP proxy on loopback whose connections can be cut."""

import contextlib
import selectors
import socket
import threading


class Proxy:
    """Passes bytes between its own port and ``target_port`` until it is closed; one thread for all connections."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._woken, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for end in (self._listener, self._woken):
            self._selector.register(end, selectors.EVENT_READ)
        self._peer: dict[socket.socket, socket.socket] = {}
        self._wishes: list[str] = []
        self._answering: set[socket.socket] = set()
        self._is_refusing = False
        self.drop_answers = 0  # so many answers of the server get lost, each with its connection
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> int:
        """Close every connection, as a fire wall does after an idle hour; how many there were."""
        n = len(self._peer) // 2
        self._wish("cut")
        return n

    def refuse(self) -> None:
        """The server is away: no connection lives or comes about."""
        self._is_refusing = True
        self.cut()

    def accept(self) -> None:
        """The server is back."""
        self._is_refusing = False

    def close(self) -> None:
        self._wish("close")
        self._thread.join()
        for end in (self._listener, self._woken, self._waker):  # not before: the wish may be read before it is sent
            end.close()
        self._selector.close()

    def _wish(self, word: str) -> None:
        self._wishes.append(word)
        self._waker.send(b"\0")

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._peer:
                    self._pass_on(key.fileobj)
            while self._wishes:
                wish = self._wishes.pop(0)
                for end in list(self._peer):
                    self._drop(end)
                if wish == "close":
                    return

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self._is_refusing:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
        except OSError:
            near.close()  # the server is away
            return
        self._answering.add(far)
        for end, other in ((near, far), (far, near)):
            self._peer[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        try:
            content = end.recv(1 << 16)
            is_lost = end in self._answering and self.drop_answers > 0
            self.drop_answers -= is_lost
            if content and not is_lost:
                self._peer[end].sendall(content)
                return
        except OSError:
            pass
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._peer.get(end)
        self._answering -= {end, other}
        for each in (end, other):
            if each is not None and self._peer.pop(each, None) is not None:
                self._selector.unregister(each)
                with contextlib.suppress(OSError):
                    each.close()
