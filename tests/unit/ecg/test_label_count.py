import numpy as np
import pytest

from ablate.ecg.label_count import count_classes, count_tasks
from ablate.ecg.source import Records
from ablate.errors import DataError

RECORDS = Records(
    ecg_id=np.arange(1, 7),
    patient_id=np.arange(1, 7),
    fold=np.array([1, 8, 8, 9, 10, 10]),
    codes=("A", "B", "C"),
    statements=np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0]], bool),
    classes={
        "all": {"A": "A", "B": "B", "C": "C"},
        "diagnostic": {"A": "A", "B": "B"},
        "subdiagnostic": {"A": "X", "B": "X"},
        "superdiagnostic": {"A": "X", "B": "X"},
        "form": {"C": "C"},
        "rhythm": {},
    },
)


def test_counts_of_tasks() -> None:
    rows = {row.task: row for row in count_tasks(RECORDS)}
    assert (rows["all"].classes, rows["all"].train, rows["all"].val, rows["all"].test) == (3, 3, 1, 2)
    assert (rows["diagnostic"].train, rows["diagnostic"].test_positives_max) == (2, 2)
    assert (rows["all"].test_positives_min, rows["all"].test_positives_median) == (0, 1.0)
    assert (rows["rhythm"].classes, rows["rhythm"].train) == (0, 0)


def test_counts_of_classes() -> None:
    rows = count_classes(RECORDS, "diagnostic")
    assert [(row.class_name, row.train, row.val, row.test) for row in rows] == [("A", 2, 0, 2), ("B", 1, 1, 1)]
    assert rows[1].prevalence == 0.5
    with pytest.raises(DataError, match="task = 'none' is not known"):
        count_classes(RECORDS, "none")
