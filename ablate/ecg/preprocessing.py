"""What is done to a record before an encoder sees it, each choice under a name that enters the cohort's digest."""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from ablate.errors import DataError

NOTCH_HZ = 50.0
NOTCH_QUALITY = 30.0
BAND_HZ = (0.67, 40.0)
BAND_ORDER = 4
MEDIAN_WINDOW_S = 0.4
EPSILON = 1e-8

Signal = Float[np.ndarray, "lead sample"]


def z_score(signal: Signal) -> Signal:
    """``signal`` with mean 0 and standard deviation 1 over all of its leads and samples together."""
    centred = signal - signal.dtype.type(signal.mean(dtype=np.float64))
    scale = 1 / (np.sqrt(np.vdot(centred, centred) / centred.size) + EPSILON)
    return np.asarray(centred * signal.dtype.type(scale))


def ecgfounder_filter(signal: Signal, fs_hz: int) -> Signal:
    """Notch at 50 Hz, band-pass 0.67-40 Hz, both forward and backward, minus a median filter: no hum, no wander.

    At 100 Hz the notch would stand on the Nyquist frequency, where it is not defined, and the band-pass lets nothing
    of it through anyway: it is left out.

    Source: the authors of ECGFounder, github.com/PKUDigitalHealth/ECGFounder (their README calls it mandatory, their
    evaluation on PTB-XL does without).
    """
    from scipy import ndimage  # noqa: PLC0415  (half a second to import, and most processes never filter)
    from scipy.signal import filtfilt  # noqa: PLC0415

    filtered = np.asarray(signal, np.float64)
    for numerator, denominator in _coefficients(fs_hz):
        filtered = filtfilt(numerator, denominator, filtered)
    window = int(MEDIAN_WINDOW_S * fs_hz) + 1
    baseline = [ndimage.median_filter(lead, window, mode="constant") for lead in filtered]
    return np.asarray(np.nan_to_num(filtered - np.stack(baseline)))


@cache
def _coefficients(fs_hz: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    from scipy.signal import butter, iirnotch  # noqa: PLC0415

    notch = (iirnotch(NOTCH_HZ, NOTCH_QUALITY, fs_hz),) if fs_hz > 2 * NOTCH_HZ else ()
    return (*notch, butter(BAND_ORDER, BAND_HZ, btype="bandpass", fs=fs_hz))


def _unfiltered(signal: Signal, fs_hz: int) -> Signal:
    del fs_hz
    return signal


_FILTERS: dict[str, Callable[[Signal, int], Signal]] = {"none": _unfiltered, "ecgfounder": ecgfounder_filter}
PREPROCESSINGS = tuple(_FILTERS)
VERSION = 1  # to be raised when the arithmetic below or above changes: it enters the digest of every prepared array


def check_preprocessing(name: str) -> None:
    """See that ``name`` is one of ``PREPROCESSINGS``.

    Raises:
        DataError: it is not.
    """
    if name not in _FILTERS:
        raise DataError(f"preprocessing = {name!r} is not known; choose one of {', '.join(PREPROCESSINGS)}")


def preprocess(signal: Signal, *, from_hz: int, fs_hz: int, preprocessing: str) -> Float[np.ndarray, "lead out"]:
    """Resample to ``fs_hz`` where the rates differ, filter as ``preprocessing`` says, then z-score."""
    filtered = _FILTERS[preprocessing](resample(signal, from_hz=from_hz, fs_hz=fs_hz), fs_hz)
    with _algebra().limit(limits=1):
        return z_score(filtered)


@cache
def _algebra() -> ThreadpoolController:
    """The threads of BLAS. Sharing one record's dot product between them costs five times as much as all else, and its
    last bits would depend on the number of cores."""
    return ThreadpoolController()


def resample(signal: Signal, *, from_hz: int, fs_hz: int) -> Float[np.ndarray, "lead out"]:
    """``signal`` at another rate by a polyphase filter; the edges are held, so that an offset makes no transient."""
    if from_hz == fs_hz:
        return signal
    from scipy import signal as dsp  # noqa: PLC0415

    divisor = int(np.gcd(from_hz, fs_hz))
    return np.asarray(dsp.resample_poly(signal, fs_hz // divisor, from_hz // divisor, axis=-1, padtype="line"))
