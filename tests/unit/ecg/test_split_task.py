from dataclasses import replace

import numpy as np
import pytest

from ablate.ecg.cohort import Cohort
from ablate.ecg.seal import Permit
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.task import TASKS
from ablate.errors import DataError

PERMIT = Permit("study", "confirm/ft/0")


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_those_of_the_source_and_unlabelled_records_are_dropped(cohort: Cohort, task: str) -> None:
    records = Synthetic(500, 3).records()
    mapping = records.classes[task]
    data = load_task(cohort, task, permit=PERMIT)
    row_of = {ecg_id: row for row, ecg_id in enumerate(records.ecg_id.tolist())}
    for rows, labels, folds in (
        (data.train_rows, data.train_labels, range(1, 9)),
        (data.val_rows, data.val_labels, (9,)),
        (data.test_rows, data.test_labels, (10,)),
    ):
        expected = {}
        for ecg_id in records.ecg_id[np.isin(records.fold, list(folds))].tolist():
            given = np.flatnonzero(records.statements[row_of[ecg_id]])
            if names := {mapping[records.codes[code]] for code in given if records.codes[code] in mapping}:
                expected[ecg_id] = names
        found = {
            int(cohort.ecg_id[row]): {data.classes[at] for at in np.flatnonzero(has)}
            for row, has in zip(rows, labels, strict=True)
        }
        assert found == expected
    assert list(data.classes) == sorted(set(mapping.values()))


def test_without_a_permit_nothing_of_the_test_fold_is_there(cohort: Cohort) -> None:
    data = load_task(cohort, "superdiagnostic")
    assert data.test_labels is None
    assert not len(data.test_rows)
    assert not len(data.test_patients)
    assert len(data.signals) == np.count_nonzero(cohort.fold != 10)
    assert (cohort.fold[: len(data.signals)] != 10).all()
    assert not cohort.statements[cohort.fold == 10].any()


def test_with_a_permit_train_and_validation_are_the_same(cohort: Cohort) -> None:
    closed, opened = load_task(cohort, "form"), load_task(cohort, "form", permit=PERMIT)
    for name in ("train_rows", "val_rows", "train_labels", "val_labels", "train_patients", "val_patients"):
        assert np.array_equal(getattr(closed, name), getattr(opened, name))
    assert closed.digest == opened.digest
    assert (cohort.fold[opened.test_rows] == 10).all()
    assert len(opened.test_labels) == len(opened.test_rows) == len(opened.test_patients) > 0


def test_patients_are_in_one_split_only(cohort: Cohort) -> None:
    data = load_task(cohort, "all", permit=PERMIT)
    train, val, test = (set(part.tolist()) for part in (data.train_patients, data.val_patients, data.test_patients))
    assert not train & val
    assert not train & test
    assert not val & test


def test_tasks_have_digests_of_their_own(cohort: Cohort) -> None:
    digests = {load_task(cohort, task).digest for task in TASKS}
    assert len(digests) == len(TASKS)
    assert load_task(replace(cohort, digest="another"), "all").digest not in digests


def test_an_unknown_task_is_an_error_that_lists_the_known(cohort: Cohort) -> None:
    with pytest.raises(DataError, match=r"task = 'rhythms' is not known; choose one of all, diagnostic"):
        load_task(cohort, "rhythms")


@pytest.mark.parametrize(("fold", "split"), [(9, r"validation \(fold 9\)"), (1, r"training \(folds 1-8\)")])
def test_a_split_without_labelled_records_is_an_error(cohort: Cohort, fold: int, split: str) -> None:
    statements = np.array(cohort.statements)
    statements[cohort.fold == fold if fold == 9 else cohort.fold <= 8] = False
    with pytest.raises(DataError, match=f"task 'rhythm' has no labelled record for {split}"):
        load_task(replace(cohort, statements=statements), "rhythm")
