"""What an electrocardiogram can be: how far a lead goes, and how little it may move."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ablate.errors import DataError

LARGEST_MV, SMALLEST_MV = 30.0, 0.01  # PTB-XL's largest value is 20 mV; none of its records moves by less than 0.1


def check_plausible(path: Path, signal: Float32[np.ndarray, "lead sample"]) -> None:
    """See that amplitudes are those of a heart; a record that is flat altogether is for the caller to judge.

    Raises:
        DataError: they are not.
    """
    lead = int(np.argmax(np.abs(signal).max(axis=1)))
    largest, travel = float(np.abs(signal[lead]).max()), float(np.ptp(signal, axis=1).max())
    if largest > LARGEST_MV:
        complaint = f"signal {lead} reaches {largest:.3g} mV; expected at most {LARGEST_MV:g}"
    elif 0 < travel < SMALLEST_MV:
        complaint = f"no signal moves by more than {travel:.3g} mV; expected at least {SMALLEST_MV:g}"
    else:
        return
    raise DataError(
        f"{path}: {complaint}; are gain and unit right? correct it, or leave the record out with --skip-damaged",
        kind="amplitude",
    )
