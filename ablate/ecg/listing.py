"""A list of records: whose they are, what they show and where their samples lie. Tables and public sets become one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from ablate.ecg.finding import Finding
from ablate.ecg.source import TEST_FOLD, VAL_FOLD

FEW_POSITIVES = 10  # below that, a class has about one record in each fold
_MOST_NAMED = 5


@dataclass(frozen=True)
class Place:
    """Where the samples of a record lie.

    Attributes:
        path: of its file, relative to the folder.
        row: within a file of many records.
        start_s: where the ten seconds begin; None leaves that to the form.
        fs_hz: where the list says what the file does not.
    """

    path: str
    row: int | None = None
    start_s: float | None = None
    fs_hz: int | None = None


@dataclass(frozen=True)
class Listing:
    """Records of a collection; what cannot be used of it is in ``findings``.

    Attributes:
        where: the table or folder, for messages.
        names: of the records, as the table calls them.
        places: None for a record whose path cannot be used.
        classes: statement code -> class.
    """

    where: Path
    ecg_id: Int[np.ndarray, "record"]
    names: tuple[str, ...]
    patient_id: Int[np.ndarray, "record"]
    fold: Int[np.ndarray, "record"]
    codes: tuple[str, ...]
    statements: Bool[np.ndarray, "record code"]
    places: tuple[Place | None, ...]
    classes: Mapping[str, str]
    findings: tuple[Finding, ...] = ()


def statement_matrix(given: Sequence[frozenset[str]]) -> tuple[tuple[str, ...], Bool[np.ndarray, "record code"]]:
    """All codes of some records, sorted, and which record has which."""
    codes = tuple(sorted(frozenset().union(*given)))
    at = {code: position for position, code in enumerate(codes)}
    statements = np.zeros((len(given), len(codes)), bool)
    for row, own in enumerate(given):
        statements[row, [at[code] for code in own]] = True
    return codes, statements


def patient_findings(
    listing_where: Path, names: Iterable[str], patients: np.ndarray, fold: np.ndarray
) -> list[Finding]:
    """A finding for each patient whose records are in several folds."""
    pairs = np.unique(np.stack([patients, fold]), axis=1)
    numbers, n_folds = np.unique(pairs[0], return_counts=True)
    by_row = np.asarray(list(names))
    return [
        Finding(
            "patient in two folds",
            f"{listing_where}: records {_several(by_row[patients == patient])} of one patient are in folds "
            f"{_several(np.unique(fold[patients == patient]))}; a patient belongs in one fold",
        )
        for patient in numbers[n_folds > 1]
    ]


def class_findings(
    where: Path, names: tuple[str, ...], labels: Bool[np.ndarray, "record class"], fold: Int[np.ndarray, "record"]
) -> list[Finding]:
    """Classes that cannot be learned or scored, or hardly: one value only, or few positives."""
    findings = []
    for name, column in zip(names, labels.T, strict=True):
        n_positive, n_records = int(column.sum()), len(column)
        if n_positive in (0, n_records):
            value = int(bool(n_positive))
            findings.append(
                Finding(
                    "class of one value",
                    f"{where}: class {name!r} is {value} in all {n_records} records; nothing can be learned of it: "
                    "take it out of data.columns.labels",
                )
            )
        elif n_positive < FEW_POSITIVES:
            findings.append(
                Finding(
                    "few positives",
                    f"{where}: class {name!r} has {n_positive} positives in {n_records} records; "
                    f"with fewer than {FEW_POSITIVES} its score says little",
                    is_fatal=False,
                )
            )
        elif absent := [split for split, of in _SPLITS.items() if not column[np.isin(fold, of)].any()]:
            findings.append(
                Finding(
                    "no positive in a split",
                    f"{where}: class {name!r} has no positive in {' and '.join(absent)}; it has no score there",
                    is_fatal=False,
                )
            )
    return findings


_SPLITS = {
    "training (folds 1-8)": range(1, VAL_FOLD),
    "validation (fold 9)": (VAL_FOLD,),
    "test (fold 10)": (TEST_FOLD,),
}


def fold_findings(where: Path, fold: Int[np.ndarray, "record"]) -> list[Finding]:
    """A finding where training, validation or test have no record at all."""
    return [
        Finding("empty split", f"{where}: no record for {split}; give fewer folds by hand, or leave the column out")
        for split, of in _SPLITS.items()
        if not np.isin(fold, list(of)).any()
    ]


def _several(values: np.ndarray) -> str:
    shown = ", ".join(map(str, values[:_MOST_NAMED]))
    return f"{shown}, …" if len(values) > _MOST_NAMED else shown
