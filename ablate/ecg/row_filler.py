"""Records to rows: reading, checking and filtering a stretch of records, in this process or several."""

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float16, Float32, Int

from ablate.ecg.preprocessing import preprocess
from ablate.ecg.source import DURATION_S, LEADS, Source
from ablate.errors import DataError

Progress = Callable[[int, int], None]  # records done, records in all
Damage = Literal["raise", "skip", "collect"]  # "collect": say all of it at the end, and leave nothing

N_RECORDS = 128  # in a chunk: enough to pay for handing it to a process, few enough to show progress
ODD_SHARE = 0.2  # of the largest limb lead, root mean square; 0.02 in all but 20 of the records of PTB-XL
_N_WORTHWHILE = 512  # records for each further process; it imports for a second, a record takes one or two milliseconds
_FILTERING = ("scipy.signal", "scipy.ndimage")  # imported once by the fork server, not by each of its children


@dataclass(frozen=True)
class Preparation:
    """What is done to every record."""

    fs_hz: int
    preprocessing: str
    damaged: Damage
    leads: tuple[str, ...] = LEADS

    @property
    def shape(self) -> tuple[int, int]:
        """Leads and samples of a prepared record."""
        return len(self.leads), self.fs_hz * DURATION_S


@dataclass(frozen=True)
class ReadRecords:
    """What came of some records beside their rows, by ecg_id; ``digests`` are of what was read.

    Attributes:
        kinds: of the damage of those that are skipped.
        by_rule: those that are skipped because the study declares it.
        changes: how many records something was done to, by what it was.
        rates: how many records have files of a rate.
    """

    digests: dict[int, bytes] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    flat_leads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    odd_leads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)
    by_rule: set[int] = field(default_factory=set)
    changes: Counter[str] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)

    def add(self, other: "ReadRecords") -> None:
        """Take in what came of other records."""
        self.digests.update(other.digests)
        self.skipped.update(other.skipped)
        self.flat_leads.update(other.flat_leads)
        self.odd_leads.update(other.odd_leads)
        self.kinds.update(other.kinds)
        self.by_rule.update(other.by_rule)
        self.changes.update(other.changes)
        self.rates.update(other.rates)


@dataclass(frozen=True)
class Rows:
    """A .npy file of float16 that several processes fill, each its own rows.

    Its space is taken beforehand, and rows are written, not mapped: writing to a map of a full disk kills the process.
    """

    path: Path
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...]) -> "Rows":
        """A file of zeros, or OSError where the disk has no space for all of it."""
        with path.open("xb") as file:
            header = {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            offset = file.tell()
            os.posix_fallocate(file.fileno(), offset, 2 * int(np.prod(shape)))
        return cls(path, shape, offset)

    def write(self, first_row: int, rows: Float16[np.ndarray, "row lead sample"]) -> None:
        """Put ``rows`` where they belong."""
        with self.path.open("r+b") as file:
            file.seek(self.offset + first_row * 2 * int(np.prod(self.shape[1:])))
            file.write(rows.tobytes())

    def keep(self, kept: Int[np.ndarray, "row"]) -> None:
        """Write the file anew with these rows only."""
        old = np.load(self.path, mmap_mode="r")
        new = Rows.create(self.path.with_suffix(".kept"), (len(kept), *self.shape[1:]))
        for start in range(0, len(kept), N_RECORDS):
            new.write(start, old[kept[start : start + N_RECORDS]])
        new.path.replace(self.path)


@dataclass(frozen=True)
class Filler:
    """Knows how to fill rows with the records of a source; travels to other processes.

    Attributes:
        rows: None where records are only read and checked.
    """

    rows: Rows | None
    source: Source
    how: Preparation

    def fill(self, ecg_ids: Sequence[int], first_row: int) -> ReadRecords:
        """Read these records and write them from ``first_row`` on.

        Raises:
            DataError: a record is damaged, and damage is not to be skipped.
        """
        chunk = np.zeros((len(ecg_ids), *self.how.shape), np.float16)
        read = ReadRecords()
        for row, ecg_id in zip(chunk, ecg_ids, strict=True):
            try:
                self._fill_row(row, ecg_id, read)
            except DataError as error:
                if self.how.damaged == "raise" and not error.by_rule:
                    raise
                read.skipped[ecg_id], read.kinds[ecg_id] = str(error), error.kind
                if error.by_rule:
                    read.by_rule.add(ecg_id)
        if self.rows is not None:
            self.rows.write(first_row, chunk)
        return read

    def _fill_row(self, row: Float16[np.ndarray, "lead sample"], ecg_id: int, read: ReadRecords) -> None:
        fs_hz, stored_hz = self.how.fs_hz, self.source.stored_hz(self.how.fs_hz)
        reading = self.source.reading(ecg_id, stored_hz)
        signal = reading.signal
        if flat := _flat_leads(self.source.name, ecg_id, signal):
            read.flat_leads[ecg_id] = flat
        elif odd := _broken_identities(signal):
            read.odd_leads[ecg_id] = odd
        read.changes.update(reading.changes)
        read.rates[reading.from_hz] += 1
        read.digests[ecg_id] = hashlib.sha256(signal.tobytes()).digest() if self.source.reads_files else b""
        if self.how.leads != LEADS:
            signal = signal[[LEADS.index(lead) for lead in self.how.leads]]
        row[:] = preprocess(signal, from_hz=stored_hz, fs_hz=fs_hz, preprocessing=self.how.preprocessing)


def fill_all(
    filler: Filler, ecg_ids: Sequence[int], *, n_processes: int, progress: Progress | None = None
) -> ReadRecords:
    """Fill the rows of all records and tell what came of them; ``progress`` hears of every chunk.

    Raises:
        DataError: as ``Filler.fill``, or a process was killed.
    """
    read = ReadRecords()
    for part in _chunks(filler, ecg_ids, n_processes=n_processes):
        read.add(part)
        if progress is not None:
            progress(len(read.digests) + len(read.skipped), len(ecg_ids))
    return read


def _chunks(filler: Filler, ecg_ids: Sequence[int], *, n_processes: int) -> Iterator[ReadRecords]:
    starts = range(0, len(ecg_ids), N_RECORDS)
    n_processes = min(n_processes, len(ecg_ids) // _N_WORTHWHILE)
    if n_processes <= 1:
        yield from (filler.fill(ecg_ids[at : at + N_RECORDS], at) for at in starts)
        return
    # A fork server, since the caller may have threads, which a plain fork would leave in the middle of things.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, *(() if filler.how.preprocessing == "none" else _FILTERING)])
    with ProcessPoolExecutor(n_processes, context, initializer=_remember, initargs=(filler,)) as pool:
        going = [pool.submit(_fill_remembered, ecg_ids[at : at + N_RECORDS], at) for at in starts]
        try:
            yield from (_result(each) for each in going)
        finally:
            pool.shutdown(cancel_futures=True)


_remembered: Filler


def _remember(filler: Filler) -> None:
    global _remembered  # noqa: PLW0603  (given to a process once, not with every chunk)
    _remembered = filler
    threading.Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    """A caller that was killed cannot tell its processes to end: they would wait for work for ever."""
    caller = parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)


def _fill_remembered(ecg_ids: Sequence[int], first_row: int) -> ReadRecords:
    return _remembered.fill(ecg_ids, first_row)


def _result(future: Future[ReadRecords]) -> ReadRecords:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise DataError("a process that prepared records was killed (out of memory?); use fewer processes") from error


def _flat_leads(where: str, ecg_id: int, signal: Float32[np.ndarray, "lead sample"]) -> tuple[str, ...]:
    flat = tuple(LEADS[lead] for lead in np.flatnonzero((signal == signal[:, :1]).all(axis=1)))
    if len(flat) == len(LEADS):
        raise DataError(
            f"{where}: record {ecg_id} is flat in every lead; leave it out with --skip-damaged", kind="flat"
        )
    return flat


def _broken_identities(signal: Float32[np.ndarray, "lead sample"]) -> tuple[str, ...]:
    """Which identities of the limb leads do not hold: leads are swapped, turned over or on another scale."""
    lead = dict(zip(LEADS, signal, strict=True))
    sums = {
        "I + III = II": ([lead["I"], lead["III"], -lead["II"]]),
        "aVR + aVL + aVF = 0": ([lead["aVR"], lead["aVL"], lead["aVF"]]),
    }
    return tuple(name for name, parts in sums.items() if _rms(sum(parts)) > ODD_SHARE * max(map(_rms, parts)))


def _rms(signal: Float32[np.ndarray, "sample"]) -> float:
    return float(np.sqrt(np.dot(signal, signal) / len(signal)))
