"""How many records and positives a cohort has: for each task and split, and for each class."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from ablate.ecg.source import TEST_FOLD, TRAIN_FOLDS, VAL_FOLD, Records
from ablate.ecg.task import check_task, class_labels, is_labelled

SPLITS = {"train": TRAIN_FOLDS, "val": (VAL_FOLD,), "test": (TEST_FOLD,)}


@dataclass(frozen=True)
class TaskCount:
    """Records with a label of the task in each split, and how often its classes occur in the test fold."""

    task: str
    classes: int
    train: int
    val: int
    test: int
    test_positives_min: int
    test_positives_median: float
    test_positives_max: int


@dataclass(frozen=True)
class ClassCount:
    """Positives of one class in each split, and their share of the task's training records (NaN without any)."""

    class_name: str
    train: int
    val: int
    test: int
    prevalence: float


def count_tasks(records: Records) -> list[TaskCount]:
    """One row for each task that the records have."""
    counts = []
    for task in records.classes:
        classes, labels = class_labels(records.statements, records.codes, records.classes[task])
        parts = _splits(records, labels)
        positives = parts["test"].sum(axis=0) if classes else np.zeros(1, int)
        counts.append(
            TaskCount(
                task=task,
                classes=len(classes),
                train=int(is_labelled(task, parts["train"]).sum()),
                val=int(is_labelled(task, parts["val"]).sum()),
                test=int(is_labelled(task, parts["test"]).sum()),
                test_positives_min=int(positives.min()),
                test_positives_median=float(np.median(positives)),
                test_positives_max=int(positives.max()),
            )
        )
    return counts


def count_classes(records: Records, task: str) -> list[ClassCount]:
    """One row for each class of ``task``, most frequent first.

    Raises:
        DataError: the task is not known.
    """
    check_task(task, records.classes)
    classes, labels = class_labels(records.statements, records.codes, records.classes[task])
    parts = _splits(records, labels)
    n_train = int(is_labelled(task, parts["train"]).sum())
    positives = {split: part.sum(axis=0).tolist() for split, part in parts.items()}
    rows = [
        ClassCount(name, train, val, test, train / n_train if n_train else float("nan"))
        for name, train, val, test in zip(classes, *positives.values(), strict=True)
    ]
    return sorted(rows, key=lambda row: (-row.train, row.class_name))


def _splits(records: Records, labels: Bool[np.ndarray, "record class"]) -> dict[str, Bool[np.ndarray, "part class"]]:
    return {split: labels[np.isin(records.fold, folds)] for split, folds in SPLITS.items()}
