"""A small PTB-XL in PhysioNet's layout, written by wfdb from synthetic records."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wfdb_folder import write_ptbxl


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both rates of 40 records, four in each fold; some patients have two."""
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl"))


@pytest.fixture
def ptbxl(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "ptbxl"))


@pytest.fixture(scope="session")
def small_disk() -> Callable[..., Any]:
    """Calls a Python program in a mount namespace of its own.

    Its argument 1 is a folder on a disk that one chunk of records fits on, not two.
    """
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs mount namespaces: unshare -rm is not permitted here")

    def call(python: str, program: Path, folder: Path, options: str) -> subprocess.CompletedProcess[str]:
        script = f'mount -t tmpfs -o size=3500k tmpfs "$2" && mount -o remount,{options} "$2" && exec "$0" "$1" "$2"'
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, python, str(program), str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call
