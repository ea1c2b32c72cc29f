"""Records as bare arrays: .npy, .mat and HDF5. Such files name neither leads nor rate nor unit; the form does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ablate.ecg.extra import extra
from ablate.ecg.form import Form
from ablate.ecg.recording import MILLIVOLTS, MOST_BYTES, RESTORE, Recording
from ablate.ecg.regular_file import check_regular
from ablate.ecg.source import LEADS
from ablate.errors import DataError, first_line

_MOST_HDF5_BYTES = 1 << 42  # one file for many records, of which only one is read


def read_npy(path: Path, form: Form, row: int | None = None) -> Recording:
    """An array of leads and samples in either order.

    Raises:
        DataError: the file is missing, damaged, or no such array.
    """
    check_regular(path, most_bytes=MOST_BYTES, remedy=RESTORE)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: is no array that numpy reads ({first_line(error)}); {RESTORE}") from error
    return _recording(path, _at_row(path, "its array", array, row), form)


def read_mat(path: Path, form: Form, row: int | None = None) -> Recording:
    """An array of a MATLAB file, of version 7.3 too.

    Raises:
        DataError: the file is missing, damaged, or holds no such array.
    """
    from scipy.io import loadmat, matlab  # noqa: PLC0415 - slow to import, and few need it

    check_regular(path, most_bytes=MOST_BYTES, remedy=RESTORE)
    try:
        arrays = loadmat(path)
    except NotImplementedError:  # version 7.3 is HDF5
        return read_hdf5(path, form, row)
    except (OSError, ValueError, TypeError, IndexError, matlab.MatReadError) as error:
        raise DataError(f"{path}: scipy cannot read it ({first_line(error)}); {RESTORE}") from error
    name, array = _chosen(
        path, {name: each for name, each in arrays.items() if not name.startswith("__")}, form.dataset, row
    )
    return _recording(path, _at_row(path, name, array, row), form)


def read_hdf5(path: Path, form: Form, row: int | None = None) -> Recording:
    """An array of an HDF5 file: one record, or the one at ``row`` of many.

    Raises:
        DataError: the file is missing, damaged, holds no such array, or h5py is not installed.
    """
    h5py = extra("h5py", path)
    check_regular(path, most_bytes=_MOST_HDF5_BYTES, remedy=RESTORE)
    try:
        with h5py.File(path, "r") as file:
            datasets: dict[str, Any] = {}
            file.visititems(lambda name, item: datasets.update({name: item} if hasattr(item, "dtype") else {}))
            name, dataset = _chosen(path, datasets, form.dataset, row)
            array = _at_row(path, name, dataset, row)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: h5py cannot read it ({first_line(error)}); {RESTORE}") from error
    return _recording(path, array, form)


def _at_row(path: Path, name: str, array: Any, row: int | None) -> np.ndarray:
    """The record at ``row`` of an array or dataset that holds many; all of it where there is one."""
    if row is None:
        return np.asarray(array[...])
    n_records = array.shape[0] if array.shape else 0
    if not 0 <= row < n_records:
        raise DataError(f"{path}: has no record {row}; {name} holds {n_records}", kind="index")
    return np.asarray(array[row])


def _chosen(path: Path, arrays: Mapping[str, Any], name: str | None, row: int | None) -> tuple[str, Any]:
    """The array that is named, or the only one of numbers that has as many axes as needed; with its name."""
    n_axes = 2 if row is None else 3
    if name is not None:
        if name not in arrays:
            raise DataError(
                f"{path}: has no array {name!r}, there are {', '.join(arrays) or 'none'}; correct data.form.dataset",
                kind="dataset",
            )
        return name, arrays[name]
    fitting = [(name, each) for name, each in arrays.items() if len(each.shape) == n_axes and each.dtype.kind in "iuf"]
    if len(fitting) != 1:
        raise DataError(
            f"{path}: has {len(fitting)} arrays of {n_axes} axes among {', '.join(arrays) or 'nothing'}; "
            "name the right one in data.form.dataset"
            + ("" if row is not None else ", or give each record's place in a column `row`"),
            kind="dataset",
        )
    return fitting[0]


def _recording(path: Path, array: np.ndarray, form: Form) -> Recording:
    if array.dtype.kind not in "iuf" or array.ndim != 2:
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}; expected numbers of leads and samples", kind="shape"
        )
    millivolts = np.asarray(array, np.float32) * np.float32(MILLIVOLTS[(form.unit or "mV").lower()])
    return Recording(path, form.leads or LEADS, None, _leads_first(path, millivolts, len(form.leads or LEADS)))


def _leads_first(path: Path, array: Float32[np.ndarray, "a b"], n_leads: int) -> Float32[np.ndarray, "lead sample"]:
    fits = [size == n_leads for size in array.shape]
    if fits.count(True) != 1:
        raise DataError(
            f"{path}: has shape {array.shape}; expected {n_leads} leads along one axis; "
            "name the leads of such arrays in data.form.leads",
            kind="shape",
        )
    return np.ascontiguousarray(array if fits[0] else array.T)
