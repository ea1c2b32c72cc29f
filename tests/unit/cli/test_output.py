"""Rows on a terminal that is too narrow for a table."""

import pytest
from rich.console import Console

from ablate.cli import output

ROWS = [{"arm": "ft", "val_auroc": "0.8719 ± 0.0266", "val_auprc": "0.7504 ± 0.0486", "best": None, "n": 3}]


@pytest.mark.parametrize("width", [36, 44])
def test_rows_below_each_other_break_between_values(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "console", Console(width=width))
    output.emit_list(ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ft"
    assert all(len(line) <= width and line.count("±") == line.count("auroc") + line.count("auprc") for line in lines)
    assert ", ".join(line.strip().rstrip(",") for line in lines[1:]) == (
        "val auroc 0.8719 ± 0.0266, val auprc 0.7504 ± 0.0486, n 3"
    )
