"""A collection: a source whose records are listed somewhere and lie in files of any format, each read as declared."""

import contextlib
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32

from ablate import digest
from ablate.ecg.finding import Finding, refuse_fatal
from ablate.ecg.form import Form
from ablate.ecg.listing import Listing, Place
from ablate.ecg.recording import read_recording
from ablate.ecg.seal import refuse_where_forbidden
from ablate.ecg.source import Reading, Records
from ablate.ecg.task import OWN_TASK
from ablate.ecg.ten_seconds import to_ten_seconds
from ablate.errors import DataError

_OF_TRAINING = ("patient in two folds", "empty split", "class of one value", "no positive in a split", "few positives")
_SIDES = (".hea", ".dat", ".mat")  # files of one WFDB record
_WHOLE = (".npy", ".h5", ".hdf5", ".hdf", ".edf", ".bdf", ".dcm", ".dicom")  # files that are a record by themselves


def _files_of(path: str) -> list[str]:
    """Names that the files of a record may have; those that are not there do not count."""
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 - paths of a table are text
    if suffix.lower() in _WHOLE:
        return [path]
    return [f"{stem if suffix.lower() in _SIDES else path}{side}" for side in _SIDES]


@dataclass(frozen=True)
class Collection(ABC):
    """What all collections share; a kind of collection says how it is listed, in ``_list``.

    Attributes:
        folder: below which all files lie.
        form: what is declared of the records.
        seed: of the folds, where they are made.
        for_test_only: whether nothing is learned of the records: what folds and training need is not asked for.
        mapping: a table of statements and classes, within the folder; None takes statements as they are.
    """

    folder: Path
    form: Form = field(default_factory=Form)
    seed: int = 0
    mapping: str | None = None
    for_test_only: bool = False

    name: ClassVar[str]
    reads_files: ClassVar[bool] = True

    @abstractmethod
    def _list(self) -> Listing:
        """The records, read anew."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the list, told without reading a signal."""
        return self._listing.findings

    def digest(self, fs_hz: int = 100) -> str:
        """Of the list, of which record lies in which file, and of names, sizes and times of all files."""
        del fs_hz
        hasher = hashlib.sha256(self.identity().encode())
        hasher.update(json.dumps([place and place.path for place in self._listing.places]).encode())
        for path in sorted({place.path for place in self._listing.places if place is not None}):
            for name in _files_of(path):
                with contextlib.suppress(OSError):
                    status = os.stat(f"{self.folder}/{name}")  # noqa: PTH116 - a hundred thousand of them
                    hasher.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return hasher.hexdigest()

    def identity(self) -> str:
        """Of the list and of what is declared."""
        one = self._listing
        arrays = [hashlib.sha256(np.ascontiguousarray(each).tobytes()).hexdigest() for each in
                  (one.ecg_id, one.patient_id, one.fold, one.statements)]  # fmt: skip
        places = json.dumps([place and (place.row, place.start_s, place.fs_hz) for place in one.places])
        return digest.of_json([self.name, arrays, one.codes, dict(one.classes), places, asdict(self.form)])

    def stored_hz(self, fs_hz: int) -> int:
        """Records are brought to the wanted rate one by one, whatever that of their files."""
        return fs_hz

    def records(self) -> Records:
        """Every record of the list.

        Raises:
            SealedError: this process may not see the test fold's labels.
            DataError: something is wrong with the list; all of it at once.
        """
        refuse_where_forbidden(self.folder)
        one = self._listing
        refuse_fatal(one.findings)
        classes = {OWN_TASK: dict(one.classes)}
        return Records(one.ecg_id, one.patient_id, one.fold, one.codes, one.statements, classes)

    def read(self, ecg_id: int, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
        """Signal of one record, whatever the rate of its file.

        Raises:
            DataError: no such record, or it cannot be brought to the cohort's form.
        """
        return self.reading(ecg_id, fs_hz).signal

    def reading(self, ecg_id: int, fs_hz: int) -> Reading:
        """The same with what was done to it.

        Raises:
            DataError: as ``read``.
        """
        place = self._places.get(ecg_id)
        if place is None:
            raise DataError(f"{self.folder}: there is no record {ecg_id}", kind="missing or unknown file")
        recording = read_recording(self.folder / place.path, self.form, row=place.row)
        return to_ten_seconds(recording, self.form, fs_hz=fs_hz, start_s=place.start_s, rate=place.fs_hz)

    @property
    def paths(self) -> dict[int, str]:
        """File of each record by its identifier, relative to the folder."""
        return {ecg_id: place.path for ecg_id, place in self._places.items()}

    @property
    def readable(self) -> tuple[int, ...]:
        """Identifiers of the records whose files can be looked for."""
        return tuple(self._places)

    def folds(self) -> dict[int, int]:
        """Fold of each record by its identifier."""
        return dict(zip(self._listing.ecg_id.tolist(), self._listing.fold.tolist(), strict=True))

    @cached_property
    def _listing(self) -> Listing:
        listed = self._list()
        if not self.for_test_only:
            return listed
        return replace(listed, findings=tuple(one for one in listed.findings if one.kind not in _OF_TRAINING))

    @cached_property
    def _places(self) -> Mapping[int, Place]:
        pairs = zip(self._listing.ecg_id.tolist(), self._listing.places, strict=True)
        return {ecg_id: place for ecg_id, place in pairs if place is not None}

    def __getstate__(self) -> dict[str, object]:
        """Without the list: a process that only reads signals needs their places alone."""
        _ = self._places
        return {key: value for key, value in self.__dict__.items() if key != "_listing"}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        """As it was sent; a frozen value is filled once."""
        self.__dict__.update(state)
