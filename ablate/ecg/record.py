"""One WFDB record from its two files, checked against its header; wfdb reads whatever is not of a plain form.

PTB-XL stores every record in one way: format 16, one signal file, samples interleaved; copies of it in other challenges
differ by a few bytes before the samples, by units and by names. Reading that way here and checking first values and
checksums is several times faster than wfdb, which is asked for anything else.

What a file says is held to what an electrocardiogram can be: a gain that is missing, zero, negative or below one step
for each millivolt, a lead beyond 30 mV, or a record that nowhere moves by a hundredth of one, is damage.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16

from ablate.ecg.form import Form
from ablate.ecg.plausible import check_plausible
from ablate.ecg.recording import MILLIVOLTS, RESTORE, Recording
from ablate.ecg.regular_file import check_regular, read_regular
from ablate.ecg.source import DURATION_S, LEADS
from ablate.errors import DataError

LEAST_GAIN, MOST_GAIN = 1.0, 1e12  # steps for each millivolt

_RECORD = re.compile(r"(\S+) (\d{1,9}) (\d{1,9}) (\d{1,9})\s*", re.ASCII)
_SIGNAL = re.compile(
    r"(\S+) 16(?:x1)?(?:\+(\d{1,9}))? ([-+.0-9eE]{1,30})(?:\((-?\d{1,9})\))?/(\S+)"
    r" \d+ -?\d+ (-?\d{1,9}) (-?\d{1,9}) 0 (\S+)\s*",
    re.ASCII,
)
_GAIN = re.compile(r"([-+.0-9eE]+)(?:\(-?\d+\))?(?:/(\S+))?")
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_PER_FRAME, _MOST_PER_FRAME = re.compile(r"[x:](\d{1,18})", re.ASCII), 10_000
_SUFFIXES = (".dat", ".mat")  # of the signal file
_INVALID = -32768  # format 16's word for "no value here"
_UPPER = [lead.upper() for lead in LEADS]
_AS_THEY_ARE = list(range(len(LEADS)))
_MOST_HEADER_BYTES, _MOST_SIGNAL_BYTES = 1 << 20, 64 << 20
_AGAIN = "fetch the file again, or read the files of the other rate with --from"
_LEAVE_OUT = "correct it, or leave the record out with --skip-damaged"


@dataclass(frozen=True)
class _Header:
    """What a plain header says; ``first`` and ``checksums`` are there to see that the samples are the right ones."""

    name: str
    fs_hz: int
    n_samples: int
    leads: tuple[str, ...]
    file: str
    offset: int
    gain: np.ndarray
    baseline: np.ndarray
    first: np.ndarray
    checksums: np.ndarray


def read_record(stem: Path, *, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
    """Millivolts of the record in ``stem``.hea and its signal file, leads in the order of ``LEADS``.

    Args:
        stem: path without suffix; dots in it are part of the name.
        fs_hz: rate that the header must name; it must have ten seconds of samples.

    Raises:
        DataError: a file is missing, truncated or no regular file, the header disagrees with the samples or with what
            is expected, a sample is invalid, or the record is not what an electrocardiogram can be.
    """
    path = stem.with_name(f"{stem.name}.hea")
    content = read_regular(path, most_bytes=_MOST_HEADER_BYTES, remedy=_AGAIN)
    header = _parse_plain(path, content, stem.name)
    if header is None:
        order, signal = _read_by_wfdb(path, content, fs_hz)
    else:
        order = _check_header(path, header.name, header.fs_hz, header.n_samples, header.leads, expected_hz=fs_hz)
        samples = _read_samples(path.with_name(header.file), header)
        signal = (samples - header.baseline) / header.gain
    check_plausible(path, signal)
    return signal if order == _AS_THEY_ARE else np.ascontiguousarray(signal[order])


def read_wfdb(path: Path, form: Form, row: int | None = None) -> Recording:
    """Any WFDB record as it is: its own leads, rate and length, not a number where a sample is invalid.

    Args:
        path: of the record with or without suffix, or of its header or signal file.
        form: not needed, a header says everything.
        row: not needed either.

    Raises:
        DataError: a file is missing, truncated or no regular file, or the header disagrees with the samples.
    """
    del form, row
    has_suffix = path.suffix in (".hea", *_SUFFIXES) and not path.with_name(f"{path.name}.hea").exists()
    header_path = path.with_suffix(".hea") if has_suffix else path.with_name(f"{path.name}.hea")
    content = read_regular(header_path, most_bytes=_MOST_HEADER_BYTES, remedy=RESTORE)
    header = _parse_plain(header_path, content, header_path.stem)
    if header is None:
        return _recording_by_wfdb(header_path, content)
    _check_name(header_path, header.name)
    samples = _load_samples(header_path.with_name(header.file), header)
    signal = (samples - header.baseline) / header.gain
    if samples.min() == _INVALID:
        signal[samples == _INVALID] = np.nan
    return Recording(header_path, header.leads, header.fs_hz, signal)


def _parse_plain(path: Path, content: bytes, name: str) -> _Header | None:
    """The header, or None where it is not exactly of the plain form."""
    first, *others = _lines(content) or [""]
    record, signals = _RECORD.fullmatch(first), [_SIGNAL.fullmatch(line) for line in others]
    plain = [match for match in signals if match is not None]
    files = {(match[1], int(match[2] or 0)) for match in plain}
    if record is None or not len(plain) == len(signals) == int(record[2]) or len(files) != 1:
        return None
    file, offset = files.pop()
    if file not in [f"{name}{suffix}" for suffix in _SUFFIXES]:
        return None
    gains = [_steps_per_mv(path, match[8], match[3], match[5]) for match in plain]
    return _Header(
        name=record[1],
        fs_hz=int(record[3]),
        n_samples=int(record[4]),
        leads=tuple(match[8] for match in plain),
        file=file,
        offset=offset,
        gain=np.array(gains, np.float32)[:, None],
        baseline=np.array([[int(match[4] or 0)] for match in plain], np.float32),
        first=np.array([int(match[6]) for match in plain]),
        checksums=np.array([int(match[7]) % 65536 for match in plain]),
    )


def _steps_per_mv(path: Path, lead: str, gain: str, unit: str) -> float:
    """Steps of the converter for each millivolt, by the header's gain and unit.

    Raises:
        DataError: the unit is no voltage, or the gain is none that an electrocardiograph has.
    """
    if unit.lower() not in MILLIVOLTS:
        raise DataError(f"{path}: unit of lead {lead} is {unit!r}; expected mV, uV, nV or V")
    try:
        steps = float(gain) / MILLIVOLTS[unit.lower()]
    except ValueError:
        steps = float("nan")
    if not LEAST_GAIN <= steps <= MOST_GAIN:
        raise DataError(
            f"{path}: gain of lead {lead} is {gain}/{unit}; expected {LEAST_GAIN:g} to {MOST_GAIN:g} steps for each "
            f"millivolt (0 means unknown); {_LEAVE_OUT}"
        )
    return steps


def _check_header(
    path: Path, name: str, fs_hz: float, n_samples: int, leads: tuple[str, ...], *, expected_hz: int
) -> list[int]:  # fmt: skip
    """Positions of ``LEADS`` among the record's own leads, once all else is as expected."""
    _check_name(path, name)
    if fs_hz != expected_hz:
        raise DataError(f"{path}: sampling rate is {fs_hz:g} Hz; expected {expected_hz} Hz")
    if n_samples != expected_hz * DURATION_S:
        raise DataError(f"{path}: has {n_samples} samples; expected {expected_hz * DURATION_S}, ten seconds")
    own = [lead.upper() for lead in leads]
    if own == _UPPER:
        return _AS_THEY_ARE
    if sorted(own) != sorted(_UPPER):
        raise DataError(f"{path}: leads are {' '.join(leads)}; expected {' '.join(LEADS)} in any order and case")
    return [own.index(lead) for lead in _UPPER]


def _check_name(path: Path, name: str) -> None:
    if name.removesuffix(".mat") != path.stem:
        raise DataError(f"{path}: names record {name!r}; expected {path.stem!r}; fetch the file again")


def _read_samples(path: Path, header: _Header) -> Int16[np.ndarray, "lead sample"]:
    samples = _load_samples(path, header)
    if samples.min() == _INVALID:
        lead, at = (int(index[0]) for index in np.nonzero(samples == _INVALID))
        raise DataError(f"{path}: sample {at} of signal {lead} is invalid (NaN); leave it out with --skip-damaged")
    return samples


def _load_samples(path: Path, header: _Header) -> Int16[np.ndarray, "lead sample"]:
    n_bytes = header.offset + 2 * header.n_samples * len(header.leads)
    content = read_regular(path, most_bytes=_MOST_SIGNAL_BYTES, remedy=_AGAIN)
    if len(content) != n_bytes:
        raise DataError(f"{path}: has {len(content)} bytes, its header needs {n_bytes}; fetch the file again")
    interleaved = np.frombuffer(content, "<i2", offset=header.offset).reshape(header.n_samples, len(header.leads))
    samples = np.ascontiguousarray(interleaved.T)
    _check_samples(path, samples, header.first, header.checksums)
    return samples


def _check_samples(path: Path, samples: np.ndarray, first: np.ndarray, checksums: np.ndarray) -> None:
    if not np.array_equal(samples[:, 0], first):
        raise DataError(f"{path}: first samples are not those that its header names; fetch both files again")
    if not np.array_equal(samples.sum(axis=1, dtype=np.uint16), checksums):
        raise DataError(f"{path}: checksum is not the one that its header names; fetch both files again")


def _read_by_wfdb(path: Path, content: bytes, fs_hz: int) -> tuple[list[int], Float32[np.ndarray, "lead sample"]]:
    """Order of the leads and millivolts of a record in any of WFDB's formats."""
    recording = _recording_by_wfdb(path, content)
    signal = recording.signal
    order = _check_header(
        path, path.stem, recording.fs_hz or 0, signal.shape[1], recording.leads or (), expected_hz=fs_hz
    )
    if not np.isfinite(signal).all():
        at, lead = (int(index[0]) for index in np.nonzero(~np.isfinite(signal.T)))
        raise DataError(f"{path}: sample {at} of signal {lead} is invalid (NaN); leave it out with --skip-damaged")
    return order, signal


def _recording_by_wfdb(path: Path, content: bytes) -> Recording:
    """A record in any of WFDB's formats, in several signal files too."""
    _check_size(path, _lines(content))
    steps_per_mv = [_check_signal(path, line.split()) for line in _lines(content)[1:]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
            import wfdb  # noqa: PLC0415  (a second to import, and PTB-XL itself never needs it)

            record = wfdb.rdrecord(str(path).removesuffix(".hea"), physical=False)
            record.adc_gain = steps_per_mv
            checksums, signal = record.calc_checksum(), record.dac()
    except Exception as error:  # wfdb raises whatever its parsing stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: wfdb cannot read this record ({reason}); fetch both files again") from error
    _check_name(path, str(record.record_name))
    if None not in record.checksum and checksums != [value % 65536 for value in record.checksum]:
        raise DataError(f"{path}: checksum is not that of the samples; fetch both files again")
    leads = tuple(map(str, record.sig_name or ()))
    return Recording(path, leads, float(record.fs), np.ascontiguousarray(signal.T, np.float32))


def _check_size(path: Path, lines: Sequence[str]) -> None:
    """See that the header speaks of no more than a record can hold, since wfdb makes room for whatever it names."""
    words = lines[0].split() if lines else []
    if len(words) < 2 or not _COUNT.fullmatch(words[1]):
        said = f"{words[1]!r}" if len(words) > 1 else "nothing"
        raise DataError(f"{path}: says {said} where its first line has the number of signals; {_LEAVE_OUT}")
    n_signals = int(words[1])
    if n_signals != len(lines) - 1:
        raise DataError(f"{path}: names {n_signals} signals and has lines for {len(lines) - 1}; {_LEAVE_OUT}")
    n_samples = int(words[3]) if len(words) > 3 and _COUNT.fullmatch(words[3]) else 0
    if n_signals * n_samples > _MOST_SIGNAL_BYTES:
        raise DataError(f"{path}: names {n_signals} signals of {n_samples} samples; expected a shorter record")
    for line in lines[1:]:
        if any(int(number) > _MOST_PER_FRAME for number in _PER_FRAME.findall(" ".join(line.split()[1:2]))):
            raise DataError(f"{path}: has a signal with more than {_MOST_PER_FRAME} samples a frame or of skew")


def _lines(content: bytes) -> list[str]:
    """Lines of a header without its comments: the record's own, then one for each signal."""
    lines = [_decode(line).strip() for line in content.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _check_signal(path: Path, words: Sequence[str]) -> float:
    """Steps for each millivolt by a signal's line, whose file must be a regular one beside the header.

    wfdb would open whatever is named, and take 200 where no gain is.
    """
    if len(words) < 3 or (gain := _GAIN.fullmatch(words[2])) is None:
        raise DataError(f"{path}: has a signal without gain, {' '.join(words)[:60]!r}; expected steps/mV; {_LEAVE_OUT}")
    steps = _steps_per_mv(path, words[-1], gain[1], gain[2] or "mV")
    if "/" in words[0]:
        raise DataError(f"{path}: names signal file {words[0]!r}; expected a file beside the header")
    check_regular(path.with_name(words[0]), most_bytes=_MOST_SIGNAL_BYTES, remedy=_AGAIN)
    return steps
