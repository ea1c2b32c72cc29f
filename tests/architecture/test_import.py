"""The floors: imports go down only, and the light commands stay light."""

import subprocess
import sys

import pytest
from importlinter.cli import lint_imports


def test_imports_go_down_only() -> None:
    assert lint_imports() == 0


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
