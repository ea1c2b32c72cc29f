"""A prepared cohort as it lies on disk: opened by mapping, never by reading, and refused when it is not whole."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16, Int

from ablate import digest
from ablate.ecg.source import TEST_FOLD
from ablate.ecg.task import Classes
from ablate.errors import DataError

FORMAT = 2  # of the folder; another number is another version of ablate, and the folder is built again
SIGNALS, RECORDS, STATEMENTS, SEALED, META = "signals.npy", "records.npz", "statements.npy", "sealed.npy", "meta.json"
ARRAYS = (SIGNALS, RECORDS, STATEMENTS, SEALED)

_N_BLOCKS = 64
_BLOCK_BYTES = 4096


@dataclass(frozen=True)
class Cohort:
    """Prepared records in one folder. Those of the test fold come last, and their rows of ``statements`` are empty.

    Attributes:
        digest: of metadata, signals and preprocessing; equal on every machine that prepared the same records.
        resampled_from_hz: rate of the files where it is not ``fs_hz``.
        skipped: ecg_id -> why that record was left out.
        flat_leads: ecg_id -> leads without any signal; such records are kept.
        odd_leads: ecg_id -> identities of the limb leads that do not hold, as where two are swapped; kept too.
        changes: how many records something was done to, by what it was.
        notes: what should be known of the labels before anything trains.
        n_open: number of records outside the test fold: rows [0, n_open) are all that a search may see.
    """

    folder: Path
    source: str
    fs_hz: int
    leads: tuple[str, ...]
    preprocessing: str
    resampled_from_hz: int | None
    digest: str
    codes: tuple[str, ...]
    classes: Classes
    skipped: Mapping[int, str]
    flat_leads: Mapping[int, tuple[str, ...]]
    odd_leads: Mapping[int, tuple[str, ...]]
    signals: Float16[np.ndarray, "record lead sample"]
    ecg_id: Int[np.ndarray, "record"]
    patient_id: Int[np.ndarray, "record"]
    fold: Int[np.ndarray, "record"]
    statements: Bool[np.ndarray, "record code"]
    n_open: int
    changes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_cohort(folder: Path) -> Cohort:
    """Map the prepared arrays in ``folder``; nothing of the test fold's labels is opened.

    Raises:
        DataError: the folder is missing, of another version, or damaged.
    """
    meta = read_meta(folder)
    signals = np.load(folder / SIGNALS, mmap_mode="r")
    with np.load(folder / RECORDS) as records:
        ecg_id, patient_id, fold = (records[name] for name in ("ecg_id", "patient_id", "fold"))
    return Cohort(
        folder=folder,
        source=meta["source"],
        fs_hz=meta["fs_hz"],
        leads=tuple(meta["leads"]),
        preprocessing=meta["preprocessing"],
        resampled_from_hz=meta["resampled_from_hz"],
        digest=meta["digest"],
        codes=tuple(meta["codes"]),
        classes=meta["classes"],
        skipped={int(key): reason for key, reason in meta["skipped"].items()},
        flat_leads={int(key): tuple(leads) for key, leads in meta["flat_leads"].items()},
        odd_leads={int(key): tuple(broken) for key, broken in meta["odd_leads"].items()},
        signals=signals,
        ecg_id=ecg_id,
        patient_id=patient_id,
        fold=fold,
        statements=np.load(folder / STATEMENTS, mmap_mode="r"),
        n_open=int(np.count_nonzero(fold < TEST_FOLD)),
        changes=meta.get("changes", {}),  # older folders know of none
        notes=tuple(meta.get("notes", ())),
    )


def read_meta(folder: Path) -> dict[str, Any]:
    """Content of ``meta.json`` after seeing that the folder is whole: format, sizes, and digests.

    Small files are digested whole, ``signals.npy`` in 64 blocks spread over it, ``sealed.npy`` not at all here (see
    ``read_sealed``), which takes some milliseconds and still notices a file that was cut short, overwritten or left
    empty by a crash.

    Raises:
        DataError: it is not whole, or no prepared folder at all.
    """
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no prepared arrays here ({META} cannot be read); {_REMEDY}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(f"{folder / META}: format is not {FORMAT}, another version of ablate wrote it; {_REMEDY}")
    if meta.get("self") != _self_digest(meta):
        raise DataError(f"{folder / META}: damaged, its digest does not fit; {_REMEDY}")
    for name in ARRAYS:
        _check_file(folder / name, meta["files"][name])
    return meta


def read_sealed(folder: Path) -> Bool[np.ndarray, "record code"]:
    """Statements of the test fold's records, in the order of their rows.

    Raises:
        SealedError: reads are forbidden in this process and no permit is held.
        DataError: the file is damaged.
    """
    expected = read_meta(folder)["files"][SEALED]
    if digest.of_file(folder / SEALED) != expected["digest"]:
        raise DataError(f"{folder / SEALED}: damaged, its digest does not fit; {_REMEDY}")
    return np.asarray(np.load(folder / SEALED))


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of each array in ``folder``, for ``meta.json``."""
    return {name: {"size": (folder / name).stat().st_size, "digest": _file_digest(folder / name)} for name in ARRAYS}


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write ``meta.json`` with its own digest; the last file of a prepared folder."""
    complete = {**meta, "format": FORMAT}
    (folder / META).write_text(json.dumps({**complete, "self": _self_digest(complete)}, indent=1))


_REMEDY = "run `ablate data prepare` again"


def _self_digest(meta: Mapping[str, Any]) -> str:
    return digest.of_json({key: value for key, value in meta.items() if key != "self"})


def _check_file(path: Path, expected: Mapping[str, Any]) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: missing ({error.strerror}); {_REMEDY}") from error
    if size != expected["size"]:
        raise DataError(f"{path}: has {size} bytes, {expected['size']} were written; {_REMEDY}")
    if path.name != SEALED and _file_digest(path) != expected["digest"]:
        raise DataError(f"{path}: damaged, its digest does not fit; {_REMEDY}")


def _file_digest(path: Path) -> str:
    return _sampled_digest(path) if path.name == SIGNALS else digest.of_file(path)


def _sampled_digest(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        offsets = np.linspace(0, max(size - _BLOCK_BYTES, 0), _N_BLOCKS).astype(int).tolist()
        hasher = hashlib.sha256()
        for offset in offsets:
            hasher.update(os.pread(descriptor, _BLOCK_BYTES, offset))
        return hasher.hexdigest()
    finally:
        os.close(descriptor)
