"""A recording as its file holds it, whatever the format: which formats there are, and who reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ablate.ecg.form import Form
from ablate.errors import DataError

MILLIVOLTS = {  # of one unit; two letters are called mu
    "mv": 1.0,
    "uv": 1e-3,
    "\u00b5v": 1e-3,
    "\u03bcv": 1e-3,
    "nv": 1e-6,
    "v": 1e3,
}
MOST_BYTES = 256 << 20  # of the file of one record
RESTORE = "restore the file, or leave the record out with --skip-damaged"


@dataclass(frozen=True)
class Recording:
    """Samples in millivolts, not a number where there is no value.

    Attributes:
        where: its file, for messages.
        leads: None where the file names none.
        fs_hz: None where the file does not say.
    """

    where: Path
    leads: tuple[str, ...] | None
    fs_hz: float | None
    signal: Float32[np.ndarray, "lead sample"]


Reader = Callable[[Path, Form, int | None], Recording]


def read_recording(path: Path, form: Form, *, row: int | None = None) -> Recording:
    """The recording in ``path``.

    Args:
        path: of a .npy, .mat, HDF5, EDF, BDF or DICOM file, or of a WFDB record with or without suffix.
        form: what the file does not say.
        row: of the record in an HDF5 file that holds many.

    Raises:
        DataError: the file is missing, damaged, or of no format that is read.
    """
    return reader_of(path)(path, form, row)


def reader_of(path: Path) -> Reader:
    """What reads a file of this name.

    Raises:
        DataError: nothing does.
    """
    from ablate.ecg import array_file, clinical_file, record  # noqa: PLC0415 - they need what is defined here

    suffix = path.suffix.lower()
    if suffix == ".mat" and not path.with_suffix(".hea").exists():
        return array_file.read_mat
    if suffix in _WFDB or path.with_name(f"{path.name}.hea").exists():
        return record.read_wfdb
    readers: dict[str, Reader] = {
        ".npy": array_file.read_npy,
        **dict.fromkeys((".h5", ".hdf5", ".hdf"), array_file.read_hdf5),
        **dict.fromkeys((".edf", ".bdf"), clinical_file.read_edf),
        **dict.fromkeys((".dcm", ".dicom"), clinical_file.read_dicom),
    }
    if suffix not in readers:
        raise DataError(
            f"{path}: is no record that can be read; expected WFDB (.hea), .npy, .mat, HDF5 (.h5, .hdf5), EDF or DICOM "
            "(.dcm); is the path right?",
            kind="missing or unknown file",
        )
    return readers[suffix]


_WFDB = (".hea", ".dat", ".mat")
