"""Where records come from: one role for PTB-XL and the synthetic cohort, so that all that follows is one path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int

from ablate.ecg.task import Classes
from ablate.errors import DataError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATES_HZ = (100, 500)  # of PTB-XL's files
LEAST_HZ, MOST_HZ = 25, 1000  # of prepared arrays, which are resampled to any rate between
DURATION_S = 10
TRAIN_FOLDS = (1, 2, 3, 4, 5, 6, 7, 8)
VAL_FOLD = 9
TEST_FOLD = 10
EXTERNAL_FOLD = 11  # records of another collection, scored once after the seal
EXTERNAL_OFFSET = 1 << 40  # above every number of a record or patient of the study's own


@dataclass(frozen=True)
class Records:
    """What is known of each record besides its signal; ``classes`` maps task -> statement code -> class."""

    ecg_id: Int[np.ndarray, "record"]
    patient_id: Int[np.ndarray, "record"]
    fold: Int[np.ndarray, "record"]
    codes: tuple[str, ...]
    statements: Bool[np.ndarray, "record code"]
    classes: Classes


@dataclass(frozen=True)
class Reading:
    """A record as it is read, and what was done to it to have the cohort's form.

    Attributes:
        signal: in millivolts, leads in the order of ``LEADS``.
        from_hz: rate of its file.
        changes: in a few words each, equal for equal changes, so that records can be counted by them.
    """

    signal: Float32[np.ndarray, "lead sample"]
    from_hz: int
    changes: tuple[str, ...] = ()


class Source(Protocol):
    """A cohort of 12-lead records of ten seconds. Implementations are small values that travel to other processes."""

    @property
    def name(self) -> str:
        """Such as ``ptbxl`` or ``synthetic``; begins the name of the prepared folder."""

    @property
    def reads_files(self) -> bool:
        """Whether the signals lie in files, whose content must enter the cohort's digest."""

    def digest(self, fs_hz: int = 100) -> str:
        """Of all that decides the content at ``fs_hz``, told without reading a signal (of files: sizes and times)."""

    def identity(self) -> str:
        """Of everything but the signals, equal on every machine."""

    def records(self) -> Records:
        """Metadata and statements of every record.

        Raises:
            DataError: metadata are missing, contradict themselves or name unknown statements.
        """

    def stored_hz(self, fs_hz: int) -> int:
        """Rate at which records are read when ``fs_hz`` is wanted; where they differ, ``prepare`` resamples."""

    def read(self, ecg_id: int, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
        """Signal of one record in millivolts, leads in the order of ``LEADS``.

        Raises:
            DataError: the record is missing, damaged or not what the metadata say.
        """

    def reading(self, ecg_id: int, fs_hz: int) -> Reading:
        """The same with what was done to it.

        Raises:
            DataError: as ``read``.
        """


def best_rate(fs_hz: int, rates_hz: Sequence[int]) -> int:
    """Which of the rates that there are is read for ``fs_hz``: the lowest that loses nothing, else the highest."""
    return min((rate for rate in rates_hz if rate >= fs_hz), default=max(rates_hz))


def check_folds(where: str, ecg_id: Int[np.ndarray, "record"], patient_id: Int[np.ndarray, "record"],
                fold: Int[np.ndarray, "record"], *, last: int = TEST_FOLD) -> None:  # fmt: skip
    """See that identifiers are unique, folds are 1 to ``last``, and no patient is in two folds.

    Raises:
        DataError: one of these does not hold.
    """
    identifiers, counts = np.unique(ecg_id, return_counts=True)
    if np.any(counts > 1):
        raise DataError(f"{where}: ecg_id {identifiers[counts > 1][0]} occurs twice; identifiers must be unique")
    if np.any((fold < 1) | (fold > last)):
        first = int(np.flatnonzero((fold < 1) | (fold > last))[0])
        raise DataError(f"{where}: ecg_id {ecg_id[first]} has strat_fold = {fold[first]}; expected 1 to {last}")
    pairs = np.unique(np.stack([patient_id, fold]), axis=1)
    patients, n_folds = np.unique(pairs[0], return_counts=True)
    if np.any(n_folds > 1):
        patient = patients[n_folds > 1][0]
        raise DataError(f"{where}: patient {patient} has records in two folds; folds must be disjoint in patients")
