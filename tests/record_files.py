"""Writes records in every format that is read, and tables that name them."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from wfdb_folder import write_by_wfdb, write_record

from ablate.ecg.source import LEADS

Signal = np.ndarray


def write_npy(stem: Path, signal: Signal, fs_hz: int) -> str:
    np.save(stem.with_suffix(".npy"), signal)
    return f"{stem.name}.npy"


def write_npy_samples_first(stem: Path, signal: Signal, fs_hz: int) -> str:
    np.save(stem.with_suffix(".npy"), signal.T.astype(np.float64))
    return f"{stem.name}.npy"


def write_mat(stem: Path, signal: Signal, fs_hz: int) -> str:
    from scipy.io import savemat

    savemat(stem.with_suffix(".mat"), {"val": signal, "age": np.array([[50.0, 1.0]])[:, :1, None]})
    return f"{stem.name}.mat"


def write_hdf5(stem: Path, signal: Signal, fs_hz: int) -> str:
    import h5py

    with h5py.File(stem.with_suffix(".h5"), "w") as file:
        file["ecg"] = signal.T
    return f"{stem.name}.h5"


def write_mat_73(stem: Path, signal: Signal, fs_hz: int) -> str:
    import h5py

    with h5py.File(stem.with_suffix(".mat"), "w", userblock_size=512) as file:
        file["val"] = signal.T
    with stem.with_suffix(".mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return f"{stem.name}.mat"


def write_wfdb(stem: Path, signal: Signal, fs_hz: int) -> str:
    write_record(stem, signal, fs_hz)
    return stem.name


def write_wfdb_212(stem: Path, signal: Signal, fs_hz: int) -> str:
    """Twelve bits a sample, and a gain that fits them."""
    write_by_wfdb(
        stem.name, fs=fs_hz, units=["uV"] * 12, sig_name=[lead.lower() for lead in LEADS],
        p_signal=signal.T.astype(np.float64) * 1000, fmt=["212"] * 12, adc_gain=[0.2] * 12, baseline=[0] * 12,
        write_dir=str(stem.parent),
    )  # fmt: skip
    return f"{stem.name}.hea"


def write_edf(stem: Path, signal: Signal, fs_hz: int) -> str:
    import pyedflib

    headers = [
        {"label": f"ECG {lead}", "dimension": "uV", "sample_frequency": fs_hz, "physical_max": 10_000.0,
         "physical_min": -10_000.0, "digital_max": 32767, "digital_min": -32768}
        for lead in LEADS
    ]  # fmt: skip
    with pyedflib.EdfWriter(str(stem.with_suffix(".edf")), len(LEADS), pyedflib.FILETYPE_EDFPLUS) as file:
        file.setSignalHeaders(headers)
        file.writeSamples([lead.astype(np.float64) * 1000 for lead in signal])
    return f"{stem.name}.edf"


def write_dicom(stem: Path, signal: Signal, fs_hz: int) -> str:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    channels = []
    for lead in LEADS:
        source, unit, channel = Dataset(), Dataset(), Dataset()
        source.CodeMeaning, source.CodeValue, source.CodingSchemeDesignator = f"Lead {lead}", "2:1", "MDC"
        unit.CodeValue, unit.CodeMeaning, unit.CodingSchemeDesignator = "uV", "microvolt", "UCUM"
        channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [unit]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "1", "1"
        channel.ChannelBaseline, channel.WaveformBitsStored = "0", 16
        channels.append(channel)
    group = Dataset()
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = signal.shape
    group.SamplingFrequency, group.ChannelDefinitionSequence = str(fs_hz), channels
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new("WaveformData", "OW", np.round(signal.T * 1000).astype("<i2").tobytes())
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.9.1.1", generate_uid()
    dataset.WaveformSequence = [group]
    dataset.save_as(stem.with_suffix(".dcm"), enforce_file_format=True)
    return f"{stem.name}.dcm"


WRITERS: Sequence[Callable[[Path, Signal, int], str]] = (
    write_npy, write_npy_samples_first, write_mat, write_mat_73, write_hdf5, write_wfdb, write_wfdb_212, write_edf,
    write_dicom,
)  # fmt: skip


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path
