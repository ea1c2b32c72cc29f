"""Prepared arrays: every record read, checked, filtered and scaled once, then mapped into memory by all who need it."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from ablate import atomic, digest, settings
from ablate.ecg import cohort
from ablate.ecg.cohort import Cohort, open_cohort
from ablate.ecg.preprocessing import VERSION, check_preprocessing, preprocess
from ablate.ecg.source import DURATION_S, LEADS, RATES_HZ, TEST_FOLD, Records, Source, check_folds
from ablate.errors import DataError

__all__ = ["Cohort", "Damage", "Progress", "open_cohort", "prepare", "prepared_folder"]

Damage = Literal["raise", "skip"]
Progress = Callable[[int, int], None]  # records done, records in all

_CHUNK = 128  # records that a process takes at once: some ten milliseconds of reading, a quarter of a second of filtering


def prepare(
    source: Source,
    *,
    fs_hz: int = 100,
    preprocessing: str = "none",
    cache_dir: Path | None = None,
    n_processes: int = 1,
    progress: Progress | None = None,
    damaged: Damage = "raise",
) -> Path:
    """Folder with the prepared arrays of ``source``; built once, by one process of this machine, and whole or not at all.

    A folder that is there and whole is returned at once. Its name carries a digest of the source, the rate and the
    preprocessing, so that changed files are another folder; a damaged folder is built again.

    A lead without any signal is kept and noted. A record that is missing, truncated, without any signal at all,
    holds invalid samples or disagrees with its header or the metadata, is an error that names it, or with ``damaged="skip"`` is
    left out and its reason kept.

    Args:
        source: where the records come from.
        fs_hz: 100 or 500.
        preprocessing: one of ``PREPROCESSINGS``.
        cache_dir: parent of the prepared folders, by default ``prepared`` in ablate's home.
        n_processes: how many read and filter.
        progress: called with the number of records done and in all.
        damaged: what to do about a damaged record.

    Raises:
        DataError: a record or the metadata are damaged, or the folder cannot be written.
    """
    check_preprocessing(preprocessing)
    if fs_hz not in RATES_HZ:
        raise DataError(f"fs_hz = {fs_hz} is not possible; records are prepared at 100 or 500 Hz")
    folder = prepared_folder(source, fs_hz=fs_hz, preprocessing=preprocessing, cache_dir=cache_dir, damaged=damaged)
    if _is_whole(folder):
        return folder
    with atomic.lock(folder):
        if not _is_whole(folder):
            _build(folder, source, _Recipe(fs_hz, preprocessing, damaged), n_processes, progress)
    return folder


def prepared_folder(
    source: Source, *, fs_hz: int, preprocessing: str, cache_dir: Path | None = None, damaged: Damage = "raise"
) -> Path:
    """Where ``prepare`` puts, or has put, the arrays of ``source``.

    Raises:
        DataError: the source's metadata cannot be read.
    """
    key = digest.of_json([cohort.FORMAT, VERSION, source.digest(), fs_hz, source.stored_hz(fs_hz), preprocessing, damaged])
    parent = settings.home() / "prepared" if cache_dir is None else cache_dir
    return parent / f"{source.name}-{fs_hz}-{preprocessing}-{key[: digest.SHORT]}"


@dataclass(frozen=True)
class _Recipe:
    fs_hz: int
    preprocessing: str
    damaged: Damage

    @property
    def shape(self) -> tuple[int, int]:
        return len(LEADS), self.fs_hz * DURATION_S


@dataclass(frozen=True)
class _Outcome:
    """What came of a chunk of records beside the rows written."""

    digests: dict[int, bytes]
    skipped: dict[int, str]
    flat_leads: dict[int, tuple[str, ...]]


def _is_whole(folder: Path) -> bool:
    try:
        cohort.read_meta(folder)
    except DataError:
        return False
    return True


def _build(folder: Path, source: Source, recipe: _Recipe, n_processes: int, progress: Progress | None) -> None:
    records = _sealed_last(source.records())
    check_folds(source.name, records.ecg_id, records.patient_id, records.fold)
    with atomic.folder(folder) as scratch:
        signals = _Rows.create(scratch / cohort.SIGNALS, (len(records.ecg_id), *recipe.shape))
        outcome = _fill(signals, source, records.ecg_id.tolist(), recipe, n_processes, progress)
        kept = ~np.isin(records.ecg_id, list(outcome.skipped))
        if not kept.any():
            raise DataError(f"{source.name}: every record is damaged; the first: {next(iter(outcome.skipped.values()))}")
        if not kept.all():
            signals.keep(np.flatnonzero(kept))
        _write_labels(scratch, records, kept)
        cohort.write_meta(scratch, _meta(scratch, source, records, recipe, outcome))


def _sealed_last(records: Records) -> Records:
    order = np.lexsort((records.ecg_id, records.fold == TEST_FOLD))
    return Records(
        records.ecg_id[order], records.patient_id[order], records.fold[order],
        records.codes, records.statements[order], records.classes,
    )  # fmt: skip


def _write_labels(scratch: Path, records: Records, kept: Bool[np.ndarray, "record"]) -> None:
    sealed = records.fold[kept] == TEST_FOLD
    statements = records.statements[kept]
    np.savez(
        scratch / cohort.RECORDS,
        ecg_id=records.ecg_id[kept].astype(np.int64),
        patient_id=records.patient_id[kept].astype(np.int64),
        fold=records.fold[kept].astype(np.int8),
    )
    np.save(scratch / cohort.STATEMENTS, statements & ~sealed[:, None])
    np.save(scratch / cohort.SEALED, statements[sealed])


def _meta(scratch: Path, source: Source, records: Records, recipe: _Recipe, outcome: _Outcome) -> dict[str, Any]:
    stored_hz = source.stored_hz(recipe.fs_hz)
    content = hashlib.sha256(b"".join(outcome.digests[key] for key in sorted(outcome.digests))).hexdigest()
    choices = [VERSION, recipe.fs_hz, stored_hz, recipe.preprocessing, sorted(outcome.skipped)]
    return {
        "source": source.name,
        "fs_hz": recipe.fs_hz,
        "leads": LEADS,
        "preprocessing": recipe.preprocessing,
        "resampled_from_hz": None if stored_hz == recipe.fs_hz else stored_hz,
        "codes": records.codes,
        "classes": records.classes,
        "digest": digest.of_json([source.identity(), content if source.reads_files else "", choices]),
        "skipped": {str(key): reason for key, reason in sorted(outcome.skipped.items())},
        "flat_leads": {str(key): leads for key, leads in sorted(outcome.flat_leads.items())},
        "files": cohort.describe_files(scratch),
    }


def _fill(
    signals: "_Rows", source: Source, ecg_ids: Sequence[int], recipe: _Recipe, n_processes: int,
    progress: Progress | None,
) -> _Outcome:  # fmt: skip
    total = _Outcome({}, {}, {})
    for outcome in _map_chunks(signals, source, ecg_ids, recipe, n_processes):
        total.digests.update(outcome.digests)
        total.skipped.update(outcome.skipped)
        total.flat_leads.update(outcome.flat_leads)
        if progress is not None:
            progress(len(total.digests) + len(total.skipped), len(ecg_ids))
    return total


def _map_chunks(
    signals: "_Rows", source: Source, ecg_ids: Sequence[int], recipe: _Recipe, n_processes: int
) -> Iterator[_Outcome]:
    starts = range(0, len(ecg_ids), _CHUNK)
    if n_processes <= 1 or len(starts) == 1:
        yield from (_fill_chunk(signals, source, ecg_ids[at : at + _CHUNK], recipe, at) for at in starts)
        return
    # A fork server, since the caller may have threads of its own that a plain fork would leave in the middle of things.
    with ProcessPoolExecutor(
        n_processes, mp_context=get_context("forkserver"), initializer=_remember, initargs=(signals, source, recipe)
    ) as pool:
        going = [pool.submit(_fill_remembered, ecg_ids[at : at + _CHUNK], at) for at in starts]
        try:
            yield from (_result(each) for each in going)
        finally:
            pool.shutdown(cancel_futures=True)


def _result(future: Future[_Outcome]) -> _Outcome:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise DataError("preparing: a reading process was killed (out of memory?); use fewer --processes") from error


_remembered: tuple["_Rows", Source, _Recipe]


def _remember(signals: "_Rows", source: Source, recipe: _Recipe) -> None:
    global _remembered  # noqa: PLW0603  (given to a process of the pool once, not with every chunk)
    _remembered = (signals, source, recipe)


def _fill_remembered(ecg_ids: Sequence[int], first_row: int) -> _Outcome:
    signals, source, recipe = _remembered
    return _fill_chunk(signals, source, ecg_ids, recipe, first_row)


def _fill_chunk(signals: "_Rows", source: Source, ecg_ids: Sequence[int], recipe: _Recipe, first_row: int) -> _Outcome:
    rows = np.zeros((len(ecg_ids), *recipe.shape), np.float16)
    outcome = _Outcome({}, {}, {})
    stored_hz = source.stored_hz(recipe.fs_hz)
    for row, ecg_id in zip(rows, ecg_ids, strict=True):
        try:
            signal = source.read(ecg_id, stored_hz)
            flat = _flat_leads(source.name, ecg_id, signal)
        except DataError as error:
            if recipe.damaged == "raise":
                raise
            outcome.skipped[ecg_id] = str(error)
            continue
        row[:] = preprocess(signal, from_hz=stored_hz, fs_hz=recipe.fs_hz, preprocessing=recipe.preprocessing)
        outcome.digests[ecg_id] = hashlib.sha256(signal.tobytes()).digest() if source.reads_files else b""
        if flat:
            outcome.flat_leads[ecg_id] = flat
    signals.write(first_row, rows)
    return outcome


def _flat_leads(where: str, ecg_id: int, signal: np.ndarray) -> tuple[str, ...]:
    flat = tuple(LEADS[lead] for lead in np.flatnonzero(np.ptp(signal, axis=1) == 0))
    if len(flat) == len(LEADS):
        raise DataError(f"{where}: record {ecg_id} is flat in every lead; leave it out with --skip-damaged")
    return flat


@dataclass(frozen=True)
class _Rows:
    """A growing .npy file that several processes fill, each its own rows.

    Space is taken beforehand and rows are written, not mapped: writing to a map of a full disk kills the process.
    """

    path: Path
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...]) -> "_Rows":
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape).flush()
        rows = cls(path, shape, path.stat().st_size - 2 * int(np.prod(shape)))
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return rows

    def write(self, first_row: int, rows: np.ndarray) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.offset + first_row * 2 * int(np.prod(self.shape[1:])))
            file.write(rows.tobytes())

    def keep(self, kept: Int[np.ndarray, "row"]) -> None:
        """Write the file again with these rows only."""
        old = np.load(self.path, mmap_mode="r")
        scratch = self.path.with_suffix(".kept")
        new = _Rows.create(scratch, (len(kept), *self.shape[1:]))
        for start in range(0, len(kept), _CHUNK):
            new.write(start, old[kept[start : start + _CHUNK]])
        with contextlib.suppress(AttributeError):
            del old
        scratch.replace(self.path)
