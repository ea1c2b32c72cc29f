"""The training, validation and test records of a task, and nested fractions of the training records."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float16, Int

from ablate import digest
from ablate.ecg.balanced_order import balanced_order
from ablate.ecg.cohort import Cohort, read_sealed
from ablate.ecg.seal import Permit, permitted
from ablate.ecg.source import EXTERNAL_FOLD, TEST_FOLD, TRAIN_FOLDS, VAL_FOLD
from ablate.ecg.task import check_task, class_labels, is_labelled
from ablate.errors import DataError


@dataclass(frozen=True)
class TaskData:
    """One task on one cohort. Records without any label of a task of PTB-XL are left out.

    Without a permit nothing of the test fold is in here: ``signals`` ends before its rows, ``test_rows`` is empty and
    ``test_labels`` is None.

    Attributes:
        classes: in alphabetical order; the whole set of the task, also those that no record here has.
        train_rows: rows of ``signals``; so are ``val_rows`` and ``test_rows``.
        digest: of cohort, task and classes.
        external: records of another collection, with a permit and where the study names one.
        n_skipped: damaged records of the whole cohort that were left out.
        n_window: samples that an encoder gets at once; None for whole records.
    """

    classes: tuple[str, ...]
    signals: Float16[np.ndarray, "record lead sample"]
    fs_hz: int
    train_rows: Int[np.ndarray, "train"]
    val_rows: Int[np.ndarray, "val"]
    test_rows: Int[np.ndarray, "test"]
    train_labels: Bool[np.ndarray, "train class"]
    val_labels: Bool[np.ndarray, "val class"]
    test_labels: Bool[np.ndarray, "test class"] | None
    train_patients: Int[np.ndarray, "train"]
    val_patients: Int[np.ndarray, "val"]
    test_patients: Int[np.ndarray, "test"]
    digest: str
    n_skipped: int = 0
    external: "ExternalData | None" = None
    n_window: int | None = None

    @property
    def scored(self) -> dict[str, tuple[Int[np.ndarray, "record"], Bool[np.ndarray, "record class"]]]:
        """Rows and labels that a trial is scored on, by split: ``val``, and what a permit has opened beside it."""
        splits = {"val": (self.val_rows, self.val_labels)}
        if self.test_labels is not None:
            splits["test"] = self.test_rows, self.test_labels
        if self.external is not None:
            splits["external"] = self.external.rows, self.external.labels
        return splits


@dataclass(frozen=True)
class ExternalData:
    """Records of another collection that are only scored.

    Attributes:
        rows: of the cohort's signals, which hold those records too.
    """

    rows: Int[np.ndarray, "record"]
    labels: Bool[np.ndarray, "record class"]
    patients: Int[np.ndarray, "record"]


def load_task(cohort: Cohort, task: str, *, permit: Permit | None = None, window_s: float | None = None) -> TaskData:
    """Rows, labels and patients of ``task``: folds 1-8 to train, 9 to validate, and with a permit 10 to test.

    Args:
        cohort: the prepared records.
        task: by its name.
        permit: to open the test fold.
        window_s: seconds that an encoder gets at once; None for whole records.

    Raises:
        DataError: the task is not known, a fold has no record with a label of it, or a window is longer than a record.
        SealedError: never with a permit; see ``ablate.ecg.seal``.
    """
    check_task(task, cohort.classes)
    mapping = cohort.classes[task]
    statements = np.asarray(cohort.statements[: cohort.n_open])
    classes, labels = class_labels(statements, cohort.codes, mapping)
    fold = cohort.fold[: cohort.n_open]
    train, val = (np.flatnonzero(np.isin(fold, folds) & is_labelled(task, labels)) for folds in (TRAIN_FOLDS, VAL_FOLD))
    _check_split(cohort, task, "training (folds 1-8)", train)
    _check_split(cohort, task, f"validation (fold {VAL_FOLD})", val)
    n_window = None if window_s is None else round(window_s * cohort.fs_hz)
    if n_window is not None and n_window > cohort.signals.shape[2]:
        raise DataError(
            f"window_s = {window_s:g}: longer than the records, {cohort.signals.shape[2] / cohort.fs_hz:g} s"
        )
    test, test_labels, external = np.empty(0, np.int64), None, None
    if permit:
        test, test_labels, external = _sealed_splits(cohort, task, permit)
    return TaskData(
        classes=classes,
        signals=cohort.signals if permit else cohort.signals[: cohort.n_open],
        fs_hz=cohort.fs_hz,
        train_rows=train,
        val_rows=val,
        test_rows=test,
        train_labels=labels[train],
        val_labels=labels[val],
        test_labels=test_labels,
        train_patients=cohort.patient_id[train],
        val_patients=cohort.patient_id[val],
        test_patients=cohort.patient_id[test],
        digest=digest.of_json([cohort.digest, task, dict(mapping), *([] if n_window is None else [n_window])]),
        n_skipped=len(cohort.skipped),
        external=external,
        n_window=n_window,
    )


def fraction(data: TaskData, *, data_fraction: float, seed: int) -> Int[np.ndarray, "part"]:
    """Positions into ``data.train_rows``, ascending: about ``data_fraction`` of them, patients whole, labels balanced.

    For one seed a smaller fraction is a subset of a larger one. A class may lose every positive in a small
    fraction; see ``lost_classes``.

    Args:
        data: the task.
        data_fraction: in (0, 1]; 1 gives all.
        seed: another one draws another subset.

    Raises:
        DataError: the fraction is out of range or leaves no record.
    """
    return _part(data.train_patients, data.train_labels, data_fraction, seed, "training")


def with_val_part(data: TaskData, *, data_fraction: float, seed: int) -> TaskData:
    """The same task with about ``data_fraction`` of its validation records, chosen as ``fraction`` chooses.

    Raises:
        DataError: the fraction is out of range, leaves no record, or no class with both outcomes.
    """
    part = _part(data.val_patients, data.val_labels, data_fraction, seed, "validation")
    labels = data.val_labels[part]
    if not (labels.any(axis=0) & ~labels.all(axis=0)).any():
        raise DataError(
            f"val_fraction = 'as data_fraction': {data_fraction:g} leaves {len(part)} of {len(data.val_rows)} "
            "validation records, and no class has both outcomes among them; take a larger data_fraction, or 'all'"
        )
    return replace(data, val_rows=data.val_rows[part], val_labels=labels, val_patients=data.val_patients[part])


def _part(
    patients: Int[np.ndarray, "record"],
    labels: Bool[np.ndarray, "record class"],
    data_fraction: float,
    seed: int,
    split: str,
) -> Int[np.ndarray, "part"]:
    n_records = len(patients)
    if not 0 < data_fraction <= 1:
        raise DataError(f"data_fraction = {data_fraction} is out of range; expected more than 0 and at most 1")
    if round(data_fraction * n_records) == 0:
        raise DataError(
            f"data_fraction = {data_fraction} leaves none of {n_records} {split} records; take a larger one"
        )
    if data_fraction == 1:
        return np.arange(n_records)
    numbers, patient_of = np.unique(patients, return_inverse=True)
    has = np.zeros((len(numbers), labels.shape[1]), bool)
    np.logical_or.at(has, patient_of, labels)
    order = balanced_order(has, seed=seed)
    n_until = np.cumsum(np.bincount(patient_of)[order])
    n_patients = 1 + int(np.argmin(np.abs(n_until - data_fraction * n_records)))
    chosen = np.zeros(len(numbers), bool)
    chosen[order[:n_patients]] = True
    return np.flatnonzero(chosen[patient_of])


def lost_classes(data: TaskData, positions: Int[np.ndarray, "part"]) -> tuple[str, ...]:
    """Classes without a positive among these positions of ``train_rows``; they stay, but are not learned."""
    positives = data.train_labels[positions].any(axis=0)
    return tuple(name for name, has in zip(data.classes, positives, strict=True) if not has)


def _sealed_splits(cohort: Cohort, task: str, permit: Permit) -> tuple[np.ndarray, np.ndarray, ExternalData | None]:
    """Rows and labels of the test fold, and the records of the external collection."""
    with permitted(permit):
        statements = read_sealed(cohort.folder)
    _, labels = class_labels(statements, cohort.codes, cohort.classes[task])
    labelled, fold = is_labelled(task, labels), cohort.fold[cohort.n_open :]
    test, external = (np.flatnonzero(labelled & (fold == number)) for number in (TEST_FOLD, EXTERNAL_FOLD))
    _check_split(cohort, task, f"test (fold {TEST_FOLD})", test)
    if not (fold == EXTERNAL_FOLD).any():
        return test + cohort.n_open, labels[test], None
    _check_split(cohort, task, "the external test set", external)
    rows = external + cohort.n_open
    return test + cohort.n_open, labels[test], ExternalData(rows, labels[external], cohort.patient_id[rows])


def _check_split(cohort: Cohort, task: str, split: str, rows: Int[np.ndarray, "n"]) -> None:
    if not len(rows):
        where = f"{cohort.folder}: task {task!r}"
        raise DataError(f"{where} has no labelled record for {split}; choose another task or prepare more records")
