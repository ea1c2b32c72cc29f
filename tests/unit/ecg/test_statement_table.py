from pathlib import Path

import numpy as np
import pytest

from ablate.ecg.task import class_labels, read_statements, task_classes
from ablate.errors import DataError

HEADER = ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
ROWS = """NORM,normal,1.0,,,NORM,NORM
NDT,T,1.0,1.0,,STTC,STTC
SR,sinus,,,1.0,,
LVH,l,1.0,,,HYP,LVH
DIG,d,1.0,1.0,,STTC,STTC
"""


def _table(folder: Path, text: str) -> Path:
    path = folder / "scp_statements.csv"
    path.write_text(text)
    return path


def test_tasks_take_their_statements_by_kind(tmp_path: Path) -> None:
    classes = task_classes(read_statements(_table(tmp_path, HEADER + ROWS)))
    assert set(classes["all"]) == {"NORM", "NDT", "SR", "LVH", "DIG"}
    assert set(classes["diagnostic"]) == {"NORM", "NDT", "LVH", "DIG"}
    assert classes["subdiagnostic"] == {"DIG": "STTC", "LVH": "LVH", "NDT": "STTC", "NORM": "NORM"}
    assert classes["superdiagnostic"] == {"DIG": "STTC", "LVH": "HYP", "NDT": "STTC", "NORM": "NORM"}
    assert set(classes["form"]) == {"NDT", "DIG"}
    assert set(classes["rhythm"]) == {"SR"}


def test_a_class_is_given_when_any_of_its_statements_is() -> None:
    statements = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    names, labels = class_labels(statements, ("A", "B", "C"), {"A": "y", "B": "y", "C": "x"})
    assert names == ("x", "y")
    assert labels.tolist() == [[False, True], [False, True], [True, False], [False, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace(",rhythm", "") + "NORM,n,1.0,,NORM,NORM\n", "column 'rhythm' is missing"),
        (HEADER + ROWS + "SR,again,,,1.0,,\n", "statement 'SR' is listed twice"),
        (HEADER + "NORM,normal,1.0,,,,\n", "diagnostic statement 'NORM' has no diagnostic_class"),
        (HEADER + "SR,sinus,,,yes,,\n", "statement 'SR' has rhythm = 'yes'; expected 1.0 or nothing"),
        (HEADER + ",sinus,,,1.0,,\n", "a line has no statement code"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_file_and_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_statements(_table(tmp_path, text))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
