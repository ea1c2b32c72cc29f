"""Under which names the dashboard answers."""

from collections.abc import Iterable
from typing import Any

import pytest

from ablate.cli.allowed_host import guarded


def status(host: str | None, *names: str) -> str:
    said: list[str] = []

    def app(_: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b""]

    environ = {} if host is None else {"HTTP_HOST": host}
    list(guarded(app, names)(environ, lambda line, _: said.append(line)))
    return said[0]


@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3:1", "Box.:80"]
)
def test_addresses_and_names_of_this_machine_are_answered(host: str) -> None:
    assert status(host, "box") == "200 OK"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", None, "0x7f.1"])
def test_any_other_name_is_refused(host: str | None) -> None:
    assert status(host) == "403 Forbidden"
