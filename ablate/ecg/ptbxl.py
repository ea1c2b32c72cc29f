"""PTB-XL in PhysioNet's own layout: its two tables and its folders of WFDB records.

Source: Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7 (2020);
version 1.0.3 on PhysioNet.
"""

import ast
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ablate import digest
from ablate.ecg.record import read_record
from ablate.ecg.source import RATES_HZ, Reading, Records, best_rate, check_folds
from ablate.ecg.table import Table, read_table
from ablate.ecg.task import read_statements, task_classes
from ablate.errors import DataError

DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"

_FOLDER = {100: "records100", 500: "records500"}
_FILENAME = {100: "filename_lr", 500: "filename_hr"}
_NUMPY_NUMBER = re.compile(r"\b(?:np|numpy)\.\w+\(([^()]*)\)")  # how numpy 2 writes a number into a cell
_COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold", *_FILENAME.values())


@dataclass(frozen=True)
class PtbXl:
    """PTB-XL in ``folder``; opening it sees that this is a PTB-XL at all.

    Attributes:
        folder: where ``ptbxl_database.csv`` lies.
        files_hz: rate of the files to read, whatever rate is wanted of the arrays; None takes the wanted rate where its
            folder of records is there, else the other.
    """

    folder: Path
    files_hz: int | None = None

    name = "ptbxl"
    reads_files = True

    def __post_init__(self) -> None:
        for name in (DATABASE, STATEMENTS):
            if not (self.folder / name).is_file():
                raise DataError(f"{self.folder}: is no PTB-XL, {name} is missing; {self._remedy()}")
        if self.files_hz not in (None, *RATES_HZ):
            raise DataError(f"{self.folder}: there are no files at {self.files_hz} Hz; choose 100 or 500")
        if not any((self.folder / name).is_dir() for name in _FOLDER.values()):
            raise DataError(f"{self.folder}: has neither records100 nor records500; {self._remedy()}")

    def digest(self, fs_hz: int = 100) -> str:
        """Of the two tables, and of names, sizes and times of all files that are read for ``fs_hz``."""
        hasher = hashlib.sha256(self.identity().encode())
        for entry in _files(self.folder / _FOLDER[self.stored_hz(fs_hz)]):
            status = _status(entry)
            hasher.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return hasher.hexdigest()

    def identity(self) -> str:
        """Of the content of the two tables."""
        return digest.of_json([digest.of_file(self.folder / name) for name in (DATABASE, STATEMENTS)])

    def stored_hz(self, fs_hz: int) -> int:
        """Rate of the files that are read for ``fs_hz``."""
        if self.files_hz is not None:
            return self.files_hz
        return best_rate(fs_hz, [rate for rate in RATES_HZ if (self.folder / _FOLDER[rate]).is_dir()])

    def records(self) -> Records:
        """The whole of ``ptbxl_database.csv``; every statement of a record counts, whatever its likelihood.

        Raises:
            DataError: a table lacks a column, a value cannot be read, a statement is not in ``scp_statements.csv``, or
                folds and identifiers contradict themselves.
        """
        table = read_statements(self.folder / STATEMENTS)
        codes = tuple(statement.code for statement in table)
        position = {code: column for column, code in enumerate(codes)}
        ecg_id, patient_id, fold = (self._numbers(name) for name in ("ecg_id", "patient_id", "strat_fold"))
        check_folds(str(self.folder / DATABASE), ecg_id, patient_id, fold)
        statements = np.zeros((len(ecg_id), len(codes)), bool)
        for row, given in enumerate(self._statement_codes()):
            for code in given:
                if code not in position:
                    raise self._complaint(row, "scp_codes", code, f"a statement of {STATEMENTS}")
                statements[row, position[code]] = True
        return Records(ecg_id, patient_id, fold, codes, statements, task_classes(table))

    def read(self, ecg_id: int, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
        """Signal of one record from its files at ``fs_hz``.

        Raises:
            DataError: no such record, or its files are damaged or missing.
        """
        stem = self._stems[fs_hz].get(ecg_id)
        if stem is None:
            raise DataError(f"{self.folder / DATABASE}: there is no record with ecg_id {ecg_id}")
        return read_record(self.folder / stem, fs_hz=fs_hz)

    def reading(self, ecg_id: int, fs_hz: int) -> Reading:
        """The same; nothing is ever done to a record."""
        return Reading(self.read(ecg_id, fs_hz), fs_hz)

    @cached_property
    def _table(self) -> Table:
        table = read_table(self.folder / DATABASE, columns=_COLUMNS, remedy=self._remedy())
        if not table.rows:
            raise DataError(f"{table.path}: lists no records; {self._remedy()}")
        return table

    @cached_property
    def _stems(self) -> Mapping[int, Mapping[int, str]]:
        return {rate: self._stems_of(column) for rate, column in _FILENAME.items()}

    def _stems_of(self, column: str) -> Mapping[int, str]:
        """ecg_id -> path of its files at one rate; no two records share theirs."""
        stems: dict[int, str] = {}
        owner: dict[str, int] = {}
        for row, ecg_id in enumerate(self._numbers("ecg_id").tolist()):
            stem = self._stem(row, column)
            other = owner.setdefault(os.path.normpath(stem), ecg_id)
            if other != ecg_id:
                raise self._complaint(row, column, stem, f"a file of its own, this one is that of ecg_id {other}")
            stems[ecg_id] = stem
        return stems

    def _stem(self, row: int, column: str) -> str:
        stem = self._table.rows[row][column]
        if not stem or "\0" in stem or Path(stem).is_absolute() or ".." in Path(stem).parts:
            raise self._complaint(row, column, stem, "a path within the folder, without suffix")
        return stem

    def _numbers(self, column: str) -> np.ndarray:
        """Whole numbers, which PTB-XL partly writes with a decimal point."""
        values = np.empty(len(self._table.rows), np.int64)
        for row, cells in enumerate(self._table.rows):
            try:
                number = float(cells[column])
                values[row] = int(number)
            except (ValueError, OverflowError) as error:
                raise self._complaint(row, column, cells[column], "a whole number") from error
            if number != values[row]:
                raise self._complaint(row, column, cells[column], "a whole number")
        return values

    def _statement_codes(self) -> Iterator[tuple[str, ...]]:
        for row, cells in enumerate(self._table.rows):
            text = cells["scp_codes"]
            try:
                given = ast.literal_eval(_NUMPY_NUMBER.sub(r"\1", text))
            except (ValueError, SyntaxError, MemoryError, RecursionError) as error:  # the last two: nested too deeply
                raise self._complaint(row, "scp_codes", text, "a dictionary of statement to likelihood") from error
            if not isinstance(given, dict) or not all(isinstance(code, str) for code in given):
                raise self._complaint(row, "scp_codes", text, "a dictionary of statement to likelihood")
            yield tuple(given)

    def _complaint(self, row: int, column: str, value: str, expected: str) -> DataError:
        where = f"{self._table.path}: ecg_id {self._table.rows[row]['ecg_id'] or '?'} (line {self._table.lines[row]})"
        return DataError(f"{where} has {column} = {value[:60]!r}; expected {expected}; {self._remedy()}")

    def _remedy(self) -> str:
        inner = next((path.parent for path in sorted(self.folder.glob(f"*/{DATABASE}"))), None)
        if inner:
            return f"did you mean {inner}?"
        return (
            'for records of your own write source = "table" in the study file; '
            f"`ablate data fetch ptbxl {self.folder}` downloads PTB-XL"
        )

    def __getstate__(self) -> dict[str, object]:
        """Without the parsed table: a process that only reads signals needs the names of the files alone."""
        _ = self._stems
        return {key: value for key, value in self.__dict__.items() if key != "_table"}


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Files in ``folder`` and below, sorted by name within each folder."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); restore it or set its permissions") from error
    for entry in entries:
        if stat.S_ISDIR(_status(entry).st_mode):
            yield from _files(Path(entry.path))
        else:
            yield entry


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as error:
        raise DataError(f"{entry.path}: cannot be looked at ({error.strerror}); is it a link to nothing?") from error
