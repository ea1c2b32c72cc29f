import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Ablate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ablate(tmp_path: Path) -> Iterator[Ablate]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ABLATE_")}
    environment["ABLATE_HOME"] = str(tmp_path / "home")

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "ablate", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    yield call
    call("storage", "stop")
    if os.geteuid() == 0:  # pytest's folders are closed to the account that Postgres works under
        placed = json.loads(call("storage", "status", "--json").stdout)["folder"]
        if placed.startswith("/var/lib/ablate/"):
            subprocess.run(["rm", "-rf", placed], check=True)


def test_the_managed_server_is_started_shown_and_stopped(ablate: Ablate) -> None:
    assert json.loads(ablate("storage", "status", "--json").stdout)["running"] is False
    started = ablate("storage", "start")
    assert started.returncode == 0, started.stderr
    url = started.stdout.strip()
    assert url.startswith("postgresql+psycopg://ablate@127.0.0.1:")
    assert "\n" not in url
    assert ablate("storage", "url").stdout.strip() == url
    read_only = ablate("storage", "url", "--read-only").stdout.strip()
    assert read_only.startswith("postgresql+psycopg://ablate_reader_")
    shown = json.loads(ablate("storage", "status", "--json").stdout)
    assert (shown["running"], shown["url"], shown["version"]) == (True, url, "18")
    assert "127.0.0.1" in ablate("storage", "status").stdout.replace("\n", "")
    upgraded = ablate("storage", "upgrade")
    assert upgraded.stdout.startswith("tables of version ")
    assert ablate("storage", "stop").stdout == "stopped\n"
    assert ablate("storage", "stop").stdout == "was not running\n"


def test_a_refusal_is_one_line_and_exit_status_4(ablate: Ablate) -> None:
    done = ablate("storage", "upgrade", "--storage", "mysql://u:geheim@h/d")
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "geheim" not in done.stderr
