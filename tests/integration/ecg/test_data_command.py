"""``ablate data`` as a user calls it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def ablate(tmp_path: Path) -> Callable[..., Any]:
    def call(*arguments: object, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ablate", "data", *map(str, arguments)],
            capture_output=True, text=True, check=False, cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "ABLATE_HOME": str(tmp_path / "home"), "COLUMNS": "120"},
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done

    return call


def test_prepare_then_info(ablate: Callable[..., Any], pristine: Path) -> None:
    first, second = (json.loads(ablate("prepare", pristine, "--json").stdout) for _ in range(2))
    assert first["records"] == 40
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    info = json.loads(ablate("info", pristine, "--task", "rhythm", "--json").stdout)
    assert info["prepared"]["folder"] == first["folder"]
    assert info["prepared"]["digest"] == first["digest"]
    assert {row["class_name"] for row in info["classes"]} == {"SR", "AFIB"}
    tasks = {row["task"]: row for row in info["tasks"]}
    assert tasks["all"]["train"] + tasks["all"]["val"] + tasks["all"]["test"] == 40


def test_synthetic_needs_no_folder_and_tables_are_for_people(ablate: Callable[..., Any], tmp_path: Path) -> None:
    shown = ablate("prepare", "--synthetic", "--n-records", 50).stdout
    assert "synthetic-100-none-" in shown
    shown = ablate("info", "--synthetic", "--n-records", 50).stdout
    assert "superdiagnostic" in shown
    assert "prepared in" in shown
    ablate("info", "--synthetic", "--n-records", 50, "--record", 3, "--out", tmp_path / "three.html")
    assert "Plotly.newPlot" in (tmp_path / "three.html").read_text()


def test_skipped_records_are_shown(ablate: Callable[..., Any], ptbxl: Path) -> None:
    (ptbxl / "records100/00000/00011_lr.dat").unlink()
    failed = ablate("prepare", ptbxl, status=3)
    assert failed.stderr.startswith("ablate: ")
    assert failed.stderr.count("\n") == 1
    assert "00011_lr.dat" in failed.stderr
    shown = ablate("prepare", ptbxl, "--skip-damaged").stdout
    assert "00011_lr.dat" in re.sub(r"[\s│]", "", shown)  # the table breaks a long path where it must
    info = json.loads(ablate("info", ptbxl, "--skip-damaged", "--json").stdout)
    assert list(info["prepared"]["skipped"]) == ["11"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("info", "nowhere"), 3, "nowhere: is no PTB-XL"),
        (("info",), 3, "pass --data DIR or set ABLATE_DATA"),
        (("prepare", "here", "--synthetic"), 2, "exclude each other"),
        (("fetch", "mimic", "here"), 2, "'mimic' cannot be fetched"),
        (("fetch", "ptbxl", "here", "--fs", "250"), 3, "PTB-XL has files at 100 and 500 Hz"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_status(
    ablate: Callable[..., Any], arguments: tuple[Any, ...], status: int, message: str
) -> None:
    done = ablate(*arguments, status=status)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
