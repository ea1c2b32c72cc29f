"""Answers under names of ours only: a page elsewhere whose name leads here (DNS rebinding) reads nothing."""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any

_Environ = dict[str, Any]
_Start = Callable[..., Any]
Application = Callable[[_Environ, _Start], Iterable[bytes]]
_PORT = re.compile(r":\d+$")


def guarded(app: Application, names: Collection[str]) -> Application:
    """``app`` for requests to an address in numbers, to this machine's own names or to ``names``; others get 403."""
    allowed = {name.lower() for name in ("localhost", socket.gethostname(), *names)}

    def answer(environ: _Environ, start_response: _Start) -> Iterable[bytes]:
        host = _PORT.sub("", environ.get("HTTP_HOST", "")).lower().rstrip(".")
        if host in allowed or _is_number(host):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"This dashboard does not answer under that name; allow it with ablate dashboard --allow-host NAME.\n"]

    return answer


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
