"""The floors: imports go down only, and the light commands stay light."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest


def test_imports_go_down_only() -> None:
    # a process of its own: import-linter sets up logging anew and switches off every logger that there is
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "from ablate.cli.main import app",
        "import ablate.report.page",
        "import ablate.store.store",
        "import ablate.study.file",
        "import ablate.stats.metrics",
    ],
)
def test_what_needs_no_torch_imports_none(statement: str) -> None:
    code = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_test_imports_from_a_conftest() -> None:
    """There are several of that name, and which one is meant would depend on the order in which folders are read."""
    folder = Path(__file__).parents[1]
    importing = [path.name for path in folder.rglob("*.py") if "\nfrom conftest import" in path.read_text()]
    assert not importing


def test_a_completed_word_takes_no_heavy_import() -> None:
    """A shell waits for it at every tab."""
    words = {"_ABLATE_COMPLETE": "complete_bash", "COMP_WORDS": "ablate report sd_vs_lp_p", "COMP_CWORD": "2"}
    command = [sys.executable, "-X", "importtime", "-m", "ablate"]
    done = subprocess.run(command, env={**os.environ, **words}, capture_output=True, text=True, check=False)
    assert done.stdout == "sd_vs_lp_ptbxl\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ablate.cli.completion" in imported
    assert imported & {"torch", "numpy", "pandas", "sqlalchemy", "optuna", "rich", "filelock", "asyncio"} == set()


def test_no_two_files_of_tests_have_one_name() -> None:
    """Test folders are no packages: of two such files only one could be collected."""
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, n in names.items() if n > 1] == []
