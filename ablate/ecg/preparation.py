"""Prepared arrays: every record read, checked, filtered and scaled once, then mapped into memory by all who need it."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from ablate import atomic, digest, settings
from ablate.ecg import cohort
from ablate.ecg.cohort import Cohort, open_cohort
from ablate.ecg.finding import refuse_fatal
from ablate.ecg.preprocessing import VERSION, check_preprocessing
from ablate.ecg.reading_check import across_findings, damage_findings, source_findings
from ablate.ecg.row_filler import Damage, Filler, Preparation, Progress, ReadRecords, Rows, fill_all
from ablate.ecg.source import EXTERNAL_FOLD, LEADS, LEAST_HZ, MOST_HZ, TEST_FOLD, Records, Source, check_folds
from ablate.errors import DataError

__all__ = ["Cohort", "Damage", "Progress", "open_cohort", "prepare", "prepared_folder"]


def prepare(
    source: Source,
    *,
    fs_hz: int = 100,
    preprocessing: str = "none",
    leads: tuple[str, ...] = LEADS,
    cache_dir: Path | None = None,
    n_processes: int = 1,
    progress: Progress | None = None,
    damaged: Damage = "raise",
) -> Path:
    """Folder with the prepared arrays of ``source``; built once, by one process of a machine, whole or not at all.

    A folder that is there and whole is returned at once. Its name carries a digest of the source, the rate and the
    preprocessing, so that changed files are another folder; a damaged folder is built again.

    A lead without any signal is kept and noted. A record that is missing, truncated, flat in every lead, holds
    invalid samples or disagrees with its header or the metadata is an error that names it; with ``damaged="skip"``
    it is left out and its reason kept.

    Args:
        source: where the records come from.
        fs_hz: 25 to 1000; records of another rate are resampled.
        preprocessing: one of ``PREPROCESSINGS``.
        leads: which of ``LEADS``, in their order in the arrays; they are filtered and scaled without the others.
        cache_dir: parent of the prepared folders, by default ``prepared`` in ablate's home.
        n_processes: how many read and filter.
        progress: called with the number of records done and in all.
        damaged: what to do about a damaged record: "raise" ends at the first, "skip" leaves them out, "collect" reads
            on and says all of them at the end.

    Raises:
        DataError: a record or the metadata are damaged, or the folder cannot be written.
    """
    check_preprocessing(preprocessing)
    if not LEAST_HZ <= fs_hz <= MOST_HZ:
        raise DataError(f"fs_hz = {fs_hz} is not possible; records are prepared at {LEAST_HZ} to {MOST_HZ} Hz")
    folder = prepared_folder(
        source, fs_hz=fs_hz, preprocessing=preprocessing, leads=leads, cache_dir=cache_dir, damaged=damaged
    )
    if _is_whole(folder):
        return folder
    with atomic.lock(folder):
        if not _is_whole(folder):
            _build(folder, source, Preparation(fs_hz, preprocessing, damaged, leads), n_processes, progress)
    return folder


def prepared_folder(
    source: Source,
    *,
    fs_hz: int,
    preprocessing: str,
    leads: tuple[str, ...] = LEADS,
    cache_dir: Path | None = None,
    damaged: Damage = "raise",
) -> Path:
    """Where ``prepare`` puts, or has put, the arrays of ``source``.

    Raises:
        DataError: the source's metadata cannot be read.
    """
    stored_hz = source.stored_hz(fs_hz)
    kept = "skip" if damaged == "skip" else "raise"  # where all is well, it does not matter when that is said
    choices: list[digest.Json] = [fs_hz, stored_hz, preprocessing, kept]
    choices += [] if leads == LEADS else [list(leads)]  # as before there was a choice: prepared arrays stay
    key = digest.of_json([cohort.FORMAT, VERSION, source.digest(fs_hz), *choices])
    parent = settings.home() / "prepared" if cache_dir is None else cache_dir
    return parent / f"{source.name}-{fs_hz}-{preprocessing}-{key[: digest.SHORT]}"


def _is_whole(folder: Path) -> bool:
    try:
        cohort.read_meta(folder)
    except DataError:
        return False
    return True


def _build(folder: Path, source: Source, how: Preparation, n_processes: int, progress: Progress | None) -> None:
    records = _sealed_last(source.records())
    check_folds(source.name, records.ecg_id, records.patient_id, records.fold, last=EXTERNAL_FOLD)
    _clear_remains(folder)
    with atomic.folder(folder) as scratch:
        rows = Rows.create(scratch / cohort.SIGNALS, (len(records.ecg_id), *how.shape))
        filler = Filler(rows, source, how)
        read = fill_all(filler, records.ecg_id.tolist(), n_processes=n_processes, progress=progress)
        folds = dict(zip(records.ecg_id.tolist(), records.fold.tolist(), strict=True))
        across = across_findings(source, read, folds)
        refuse_fatal([*across, *damage_findings(read)] if how.damaged == "collect" else across)
        kept = _kept(source, records, read)
        if not kept.all():
            rows.keep(np.flatnonzero(kept))
        _write_labels(scratch, records, kept)
        notes = [each.text for each in (*source_findings(source), *across) if not each.is_fatal]
        cohort.write_meta(scratch, {**_meta(scratch, source, records, how, read), "notes": notes})


def _clear_remains(folder: Path) -> None:
    """Throw away what builders of this folder left that were killed; none is at work, since we hold the lock."""
    for remains in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(remains, ignore_errors=True)


def _kept(source: Source, records: Records, read: ReadRecords) -> Bool[np.ndarray, "record"]:
    kept = ~np.isin(records.ecg_id, list(read.skipped))
    if not kept.any():
        first = next(iter(read.skipped.values()))
        raise DataError(f"{source.name}: every record is damaged; the first: {first}")
    return kept


def _sealed_last(records: Records) -> Records:
    order = np.lexsort((records.ecg_id, np.maximum(records.fold, TEST_FOLD - 1)))
    return Records(
        records.ecg_id[order], records.patient_id[order], records.fold[order],
        records.codes, records.statements[order], records.classes,
    )  # fmt: skip


def _write_labels(scratch: Path, records: Records, kept: Bool[np.ndarray, "record"]) -> None:
    sealed = records.fold[kept] >= TEST_FOLD
    statements = records.statements[kept]
    np.savez(
        scratch / cohort.RECORDS,
        ecg_id=records.ecg_id[kept].astype(np.int64),
        patient_id=records.patient_id[kept].astype(np.int64),
        fold=records.fold[kept].astype(np.int8),
    )
    np.save(scratch / cohort.STATEMENTS, statements & ~sealed[:, None])
    np.save(scratch / cohort.SEALED, statements[sealed])
    (scratch / cohort.SEALED).chmod(0o600)


def _resampled_from(read: ReadRecords, stored_hz: int, fs_hz: int) -> int | None:
    """The one rate of all files where it is another than the wanted one; of mixed rates the changes tell."""
    rates = set(read.rates) or {stored_hz}
    return None if len(rates) > 1 or rates == {fs_hz} else rates.pop()


def _meta(scratch: Path, source: Source, records: Records, how: Preparation, read: ReadRecords) -> dict[str, Any]:
    stored_hz = source.stored_hz(how.fs_hz)
    content = hashlib.sha256(b"".join(read.digests[key] for key in sorted(read.digests))).hexdigest()
    choices = [VERSION, how.fs_hz, stored_hz, how.preprocessing, sorted(read.skipped)]
    choices += [] if how.leads == LEADS else [list(how.leads)]
    return {
        "source": source.name,
        "fs_hz": how.fs_hz,
        "leads": how.leads,
        "preprocessing": how.preprocessing,
        "resampled_from_hz": _resampled_from(read, stored_hz, how.fs_hz),
        "codes": records.codes,
        "classes": records.classes,
        "digest": digest.of_json([source.identity(), content if source.reads_files else "", choices]),
        "skipped": {str(key): reason for key, reason in sorted(read.skipped.items())},
        "flat_leads": {str(key): leads for key, leads in sorted(read.flat_leads.items())},
        "odd_leads": {str(key): broken for key, broken in sorted(read.odd_leads.items())},
        "changes": dict(sorted(read.changes.items())),
        "files": cohort.describe_files(scratch),
    }
