"""`ablate doctor`: each trouble is found and comes with what to do."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import doctor
from ablate.cli.doctor import Finding, Health
from ablate.cli.main import app
from ablate.store.store import Store


def named(findings: Iterator[object], what: str) -> Finding:
    (found,) = [finding for finding in findings if finding.what == what]
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_everything_is_looked_at_and_good_here(home: Path, store_url: str) -> None:
    findings = doctor.examine(store_url)
    assert [finding.what for finding in findings] == [
        "python", "torch", "devices", "cores", "disk", "shared memory", "ports", "storage", "clocks", "schema",
    ]  # fmt: skip
    assert {finding.verdict for finding in findings} == {Health.GOOD}
    assert all(finding.remedy == "" for finding in findings)


def test_json_and_exit_status(home: Path, store_url: str) -> None:
    good = CliRunner().invoke(app, ["doctor", "--storage", store_url, "--json"])
    assert good.exit_code == 0
    assert {row["verdict"] for row in json.loads(good.stdout)} == {"ok"}
    bad = CliRunner().invoke(app, ["doctor", "--storage", "postgresql://nobody@127.0.0.1:1/none", "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)[-1]["verdict"] == "bad"


def test_old_python_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    (found,) = doctor.check_python()
    assert found.verdict is Health.BAD
    assert "3.11" in found.remedy


def test_full_disk_is_bad(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK_BYTES", 1 << 60)
    found = named(doctor.check_home(), "disk")
    assert found.verdict is Health.BAD
    assert "ABLATE_HOME" in found.remedy


def test_home_that_cannot_be_written_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "file"))
    (found,) = doctor.check_home()
    assert (found.what, found.verdict) == ("home", Health.BAD)


def test_results_that_wait_are_shown(home: Path) -> None:
    (home / "spool" / "s" / "a").mkdir(parents=True)
    (home / "spool" / "s" / "a" / "1-1.result").touch()
    assert named(doctor.check_home(), "spool").verdict is Health.ODD


def test_store_without_tables_is_no_trouble(home: Path, empty_url: str) -> None:
    assert named(doctor.check_storage(empty_url), "schema").verdict is Health.GOOD


def test_newer_tables_are_bad(home: Path, store_url: str, store: Store) -> None:
    store.database.rows("UPDATE ablate_version SET version_num = '9999'")
    found = named(doctor.check_storage(store_url), "schema")
    assert found.verdict is Health.BAD
    assert "newer" in found.found


def test_wrong_clock_is_odd_but_not_bad() -> None:
    assert doctor._clocks(3600.0).verdict is Health.ODD
    assert doctor._clocks(-0.1).verdict is Health.GOOD


def test_gpus_that_torch_cannot_see_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    assert named(doctor.check_torch(), "devices").verdict is Health.ODD
