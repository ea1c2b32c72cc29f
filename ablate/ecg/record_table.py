"""Anybody's records: a table with a line for each, as CSV or parquet, beside or above the files that it names."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from ablate.ecg.cell_reader import CellReader
from ablate.ecg.collection import Collection
from ablate.ecg.finding import Finding
from ablate.ecg.fold_making import make_folds
from ablate.ecg.label_cell import LIST_SEPARATORS, labels_of
from ablate.ecg.listing import Listing, Place, class_findings, fold_findings, patient_findings, statement_matrix
from ablate.ecg.mapping import read_mapping
from ablate.ecg.source import TEST_FOLD
from ablate.ecg.table import Table, read_table
from ablate.ecg.task import class_labels
from ablate.errors import DataError

_REMEDY = "expected a table with a line for each record; docs/own_data.md has an example"


@dataclass(frozen=True)
class Columns:
    """Headings of a table of records.

    Args:
        path: the file of a record, relative to the table's folder.
        patient: whose record it is, a number or any text.
        labels: a list of columns with 0 and 1, or one column with a list of labels such as ``AF;LBBB``.
        fold: 1 to 10: 1 to 8 train, 9 validates, 10 tests; where the table has no such column, folds are made.
        record: a whole number by which a record is called; 1, 2, 3 in the table's order where there is no such column.
        row: place within a file of many records; not needed for files of one.
        start_s: second at which the ten seconds begin; not needed.
        fs_hz: samples a second, for files that do not say; not needed.
        one_record_each: declares that no patient has two records, for a table without a column of patients.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}  # a study file's [data.columns] is one

    path: str = "path"
    patient: str = "patient"
    labels: str | tuple[str, ...] = "labels"
    fold: str = "fold"
    record: str = "record"
    row: str = "row"
    start_s: str = "start_s"
    fs_hz: str = "fs_hz"
    one_record_each: bool = False


@dataclass(frozen=True)
class RecordTable(Collection):
    """The records of a table.

    Attributes:
        table: its file within the folder.
        columns: what its columns are called.
    """

    table: str = "records.csv"
    columns: Columns = field(default_factory=Columns)

    name = "table"

    def _list(self) -> Listing:
        path = self.folder / self.table
        table = read_table(path, columns=(), remedy=_REMEDY)
        self._check_headings(table)
        if not table.rows:
            raise DataError(f"{path}: lists no records; {_REMEDY}", kind="table")
        return _Reader(table, self.columns).listing(self.folder, seed=self.seed, mapping=self.mapping)

    def _check_headings(self, table: Table) -> None:
        """See that the columns that are needed are there, each once; all that are missing are said at once."""
        columns = self.columns
        labels = (columns.labels,) if isinstance(columns.labels, str) else columns.labels
        patient = () if columns.one_record_each else (columns.patient,)
        there = ", ".join(table.headings)[:200] or "nothing"
        if missing := [name for name in (columns.path, *patient, *labels) if name not in table.headings]:
            keys = {columns.path: "path", columns.patient: "patient"}
            named = ", ".join(f"{name!r} (data.columns.{keys.get(name, 'labels')})" for name in missing)
            without = (
                "; without patients leaks cannot be excluded: where no patient has two records, declare "
                "data.columns.one_record_each = true"
                if columns.patient in missing
                else ""
            )
            raise DataError(f"{table.path}: no column {named}; the first line has {there}{without}", kind="table")
        twice = [name for name, n in Counter(table.headings).items() if n > 1 and name in self._used(labels)]
        if twice:
            raise DataError(
                f"{table.path}: column {twice[0]!r} is there twice; keep the one that is right", kind="table"
            )

    def _used(self, labels: Sequence[str]) -> set[str]:
        columns = self.columns
        return {columns.path, columns.patient, columns.fold, columns.record, columns.row, columns.start_s,
                columns.fs_hz, *labels}  # fmt: skip


class _Reader:
    """Reads the columns of a table and keeps all that is wrong with them."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self._table, self._columns = table, columns
        self._cells = CellReader(table)

    def listing(self, folder: Path, *, seed: int, mapping: str | None) -> Listing:
        """All columns; what cannot be read has a value that is in nobody's way."""
        where = self._table.path
        ecg_id = self._identifiers()
        names = tuple(map(str, ecg_id.tolist()))
        patient_id = self._patients()
        codes, statements = self._statements()
        classes = read_mapping(folder, mapping, codes) if mapping else {code: code for code in codes}
        class_names, labels = class_labels(statements, codes, classes)
        fold = self._folds()
        if fold is None:
            fold = make_folds(patient_id, labels, seed=seed)
        else:
            self._cells.findings += patient_findings(where, names, patient_id, fold)
        self._cells.findings += fold_findings(where, fold)
        self._cells.findings += class_findings(where, class_names, labels, fold)
        places = self._places()
        return Listing(where, ecg_id, names, patient_id, fold, codes, statements, places, classes,
                       tuple(self._cells.findings))  # fmt: skip

    def _has(self, heading: str) -> bool:
        return heading in self._table.headings

    def _identifiers(self) -> Int[np.ndarray, "record"]:
        heading = self._columns.record
        if not self._has(heading):
            return np.arange(1, len(self._table.rows) + 1)
        numbers = np.array(
            [self._cells.whole(row, heading, "identifiers", -1 - row) for row in range(len(self._table.rows))]
        )
        values, counts = np.unique(numbers, return_counts=True)
        for value in values[counts > 1]:
            rows = np.flatnonzero(numbers == value)
            self._cells.complain(
                int(rows[1]), heading, "identifiers", f"a number of its own, line {self._cells.line(rows[0])} has it"
            )
        return numbers

    def _patients(self) -> Int[np.ndarray, "record"]:
        if self._columns.one_record_each:
            return np.arange(1, len(self._table.rows) + 1)
        cells = [row[self._columns.patient] for row in self._table.rows]
        for row, cell in enumerate(cells):
            if not cell:
                self._cells.complain(
                    row, self._columns.patient, "patients", "a name or number; without it leaks cannot be excluded"
                )
        numbers = _whole_numbers(cells)
        return np.unique(cells, return_inverse=True)[1] + 1 if numbers is None else numbers

    def _folds(self) -> Int[np.ndarray, "record"] | None:
        heading = self._columns.fold
        if not self._has(heading):
            return None
        folds = np.empty(len(self._table.rows), np.int64)
        for row in range(len(folds)):
            folds[row] = self._cells.whole(row, heading, "folds", 1)
            if not 1 <= folds[row] <= TEST_FOLD:
                self._cells.complain(row, heading, "folds", f"1 to {TEST_FOLD}")
                folds[row] = 1
        return folds

    def _statements(self) -> tuple[tuple[str, ...], Bool[np.ndarray, "record code"]]:
        labels = self._columns.labels
        if isinstance(labels, str):
            codes, statements = statement_matrix([labels_of(row[labels]) for row in self._table.rows])
            if not codes:
                self._cells.findings.append(
                    Finding(
                        "labels",
                        f"{self._table.path}: column {labels!r} is empty; expected labels separated by "
                        f"one of {' '.join(LIST_SEPARATORS)}",
                    )
                )
            return codes, statements
        codes = tuple(sorted(labels))
        statements = np.zeros((len(self._table.rows), len(codes)), bool)
        for column, code in enumerate(codes):
            statements[:, column] = [self._cells.flag(row, code) for row in range(len(statements))]
        return codes, statements

    def _places(self) -> tuple[Place | None, ...]:
        places: list[Place | None] = []
        owner: dict[tuple[str, int | None, float | None], int] = {}
        for row in range(len(self._table.rows)):
            place = self._place(row)
            if place is not None:
                first = owner.setdefault((os.path.normpath(place.path), place.row, place.start_s), row)
                if first != row:
                    self._cells.complain(
                        row,
                        self._columns.path,
                        "duplicate",
                        f"a file of its own, line {self._cells.line(first)} names it too",
                    )
            places.append(place)
        return tuple(places)

    def _place(self, row: int) -> Place | None:
        columns = self._columns
        path = self._table.rows[row][columns.path]
        if not path or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
            self._cells.complain(row, columns.path, "path", "a path within the table's folder")
            return None
        at = self._cells.whole(row, columns.row, "row", -1) if self._has(columns.row) else -1
        rate = self._cells.whole(row, columns.fs_hz, "rate", 0) if self._has(columns.fs_hz) else 0
        return Place(path, None if at < 0 else at, self._start_s(row), rate or None)

    def _start_s(self, row: int) -> float | None:
        heading = self._columns.start_s
        text = self._table.rows[row].get(heading, "")
        try:
            return float(text) if text else None
        except ValueError:
            self._cells.complain(row, heading, "start", "seconds")
            return None


def _whole_numbers(cells: Sequence[str]) -> Int[np.ndarray, "record"] | None:
    """All cells as whole numbers, None where one is none."""
    try:
        numbers = np.array(cells, np.float64)
    except ValueError:
        return None
    whole = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all() and (np.abs(numbers) < 2**53).all()
    return numbers.astype(np.int64) if whole else None
