"""Records as devices and hospitals store them: EDF, BDF and DICOM waveforms. They name leads, rate and unit."""

from pathlib import Path
from typing import Any

import numpy as np

from ablate.ecg.extra import extra
from ablate.ecg.form import Form
from ablate.ecg.lead_name import lead_of
from ablate.ecg.recording import MILLIVOLTS, MOST_BYTES, RESTORE, Recording
from ablate.ecg.regular_file import check_regular
from ablate.errors import DataError


def read_edf(path: Path, form: Form, row: int | None = None) -> Recording:
    """The leads of an EDF, EDF+ or BDF file; other channels are passed over.

    Raises:
        DataError: the file is missing, damaged, has no lead, or pyedflib is not installed.
    """
    del row
    pyedflib = extra("pyedflib", path)
    check_regular(path, most_bytes=MOST_BYTES, remedy=RESTORE)
    try:
        with pyedflib.EdfReader(str(path)) as file:
            labels = file.getSignalLabels()
            chosen = [number for number, label in enumerate(labels) if lead_of(label) is not None]
            rates = {float(file.getSampleFrequency(number)) for number in chosen}
            units = [file.getPhysicalDimension(number).strip() for number in chosen]
            signals = [file.readSignal(number) for number in chosen]
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: pyedflib cannot read it ({error}); {RESTORE}") from error
    if len(rates) != 1:
        raise DataError(
            f"{path}: channels {', '.join(labels)[:120]} have no lead, or leads of {len(rates)} rates; "
            "expected leads I to V6 of one rate",
            kind="leads",
        )
    return _recording(path, [labels[number] for number in chosen], units, rates.pop(), signals, form)


def read_dicom(path: Path, form: Form, row: int | None = None) -> Recording:
    """The first group of waveforms of a DICOM file that has leads: the rhythm, not the median beat.

    Raises:
        DataError: the file is missing, damaged, has no lead, or pydicom is not installed.
    """
    del row
    pydicom = extra("pydicom", path)
    check_regular(path, most_bytes=MOST_BYTES, remedy=RESTORE)
    try:
        dataset = pydicom.dcmread(path)
        groups = [[_channel(each) for each in one.ChannelDefinitionSequence] for one in dataset.WaveformSequence]
        at = next((at for at, names in enumerate(groups) if any(lead_of(name) for name, _ in names)), None)
        if at is None:
            raise DataError(f"{path}: no group of waveforms has a lead; expected a 12-lead ECG", kind="leads")
        signals = np.asarray(dataset.waveform_array(at), np.float64).T
        rate = float(dataset.WaveformSequence[at].SamplingFrequency)
    except DataError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged element leads to
        raise DataError(f"{path}: pydicom cannot read it ({error}); {RESTORE}") from error
    chosen = [number for number, (name, _) in enumerate(groups[at]) if lead_of(name)]
    names, units = [groups[at][number][0] for number in chosen], [groups[at][number][1] for number in chosen]
    return _recording(path, names, units, rate, [signals[number] for number in chosen], form)


def _channel(definition: Any) -> tuple[str, str]:
    """Name and unit of a DICOM channel."""
    source = definition.ChannelSourceSequence[0]
    units = getattr(definition, "ChannelSensitivityUnitsSequence", None)
    return str(source.CodeMeaning), "" if not units else str(units[0].CodeValue)


def _recording(
    path: Path, names: list[str], units: list[str], rate: float, signals: list[np.ndarray], form: Form
) -> Recording:
    scaled = []
    for name, unit, signal in zip(names, units, signals, strict=True):
        factor = MILLIVOLTS.get((unit or form.unit or "").lower())
        if factor is None:
            raise DataError(
                f"{path}: unit of {name} is {unit!r}; expected mV, uV, nV or V, or data.form.unit where there is none",
                kind="unit",
            )
        scaled.append(np.asarray(signal * factor, np.float32))
    return Recording(path, tuple(names), rate, np.stack(scaled))
