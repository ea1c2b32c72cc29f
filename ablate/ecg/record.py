"""One WFDB record from its two files, checked against its header; wfdb reads whatever is not of PTB-XL's plain form.

PTB-XL stores every record in one way: format 16, one .dat file, samples interleaved. Reading that way here and
checking first values and checksums is several times faster than wfdb, which is asked for anything else.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16

from ablate.ecg.source import DURATION_S, LEADS
from ablate.errors import DataError

_RECORD = re.compile(rb"(\S+) (\d{1,9}) (\d{1,9}) (\d{1,9})\s*")
_SIGNAL = re.compile(
    rb"(\S+) 16 (\d{1,9}(?:\.\d{1,20})?)(?:\((-?\d{1,9})\))?/mV \d+ -?\d+ (-?\d{1,9}) (-?\d{1,9}) 0 (\S+)\s*"
)
_INVALID = -32768  # format 16's word for "no value here"
_UPPER = [lead.upper() for lead in LEADS]
_AS_THEY_ARE = list(range(len(LEADS)))


@dataclass(frozen=True)
class _Header:
    """What a plain header says; ``first`` and ``checksums`` are there to see that the samples are the right ones."""

    name: str
    fs_hz: int
    n_samples: int
    leads: tuple[str, ...]
    gain: np.ndarray
    baseline: np.ndarray
    first: np.ndarray
    checksums: np.ndarray


def read_record(stem: Path, *, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
    """Millivolts of the record in ``stem``.hea and its .dat file, leads in the order of ``LEADS``.

    Args:
        stem: path without suffix.
        fs_hz: rate that the header must name; it must have ten seconds of samples.

    Raises:
        DataError: a file is missing or truncated, the header disagrees with the samples or with what is expected, or
            a sample is invalid.
    """
    path = stem.with_suffix(".hea")
    header = _parse_plain(_read_bytes(path), stem.name)
    if header is None:
        return _read_by_wfdb(path, fs_hz)
    order = _check_header(path, header.name, header.fs_hz, header.n_samples, header.leads, expected_hz=fs_hz)
    samples = _read_samples(stem.with_suffix(".dat"), header)
    signal: Float32[np.ndarray, "lead sample"] = (samples - header.baseline) / header.gain
    return signal if order == _AS_THEY_ARE else signal[order]


def _parse_plain(content: bytes, name: str) -> _Header | None:
    """The header, or None where it is not exactly of PTB-XL's form."""
    if not content.isascii():
        return None
    lines = [line for line in content.splitlines() if not line.startswith(b"#") and line.strip()]
    record = _RECORD.fullmatch(lines[0]) if lines else None
    signals = [_SIGNAL.fullmatch(line) for line in lines[1:]]
    if record is None or len(signals) != int(record[2]) or not signals:
        return None
    plain = [match for match in signals if match is not None and match[1] == f"{name}.dat".encode()]
    if len(plain) != len(signals) or any(float(match[2]) == 0 for match in plain):
        return None
    return _Header(
        name=record[1].decode(),
        fs_hz=int(record[3]),
        n_samples=int(record[4]),
        leads=tuple(match[6].decode() for match in plain),
        gain=np.array([[float(match[2])] for match in plain], np.float32),
        baseline=np.array([[int(match[3] or 0)] for match in plain], np.float32),
        first=np.array([int(match[4]) for match in plain]),
        checksums=np.array([int(match[5]) % 65536 for match in plain]),
    )


def _check_header(
    path: Path, name: str, fs_hz: float, n_samples: int, leads: tuple[str, ...], *, expected_hz: int
) -> list[int]:  # fmt: skip
    """Positions of ``LEADS`` among the record's own leads, once all else is as expected."""
    if name != path.stem:
        raise DataError(f"{path}: names record {name!r}; expected {path.stem!r}; fetch the file again")
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


def _read_samples(path: Path, header: _Header) -> Int16[np.ndarray, "lead sample"]:
    content = _read_bytes(path)
    n_bytes = 2 * header.n_samples * len(header.leads)
    if len(content) != n_bytes:
        raise DataError(f"{path}: has {len(content)} bytes, its header needs {n_bytes}; fetch the file again")
    samples = np.ascontiguousarray(np.frombuffer(content, "<i2").reshape(header.n_samples, len(header.leads)).T)
    _check_samples(path, samples, header.first, header.checksums)
    return samples


def _check_samples(path: Path, samples: np.ndarray, first: np.ndarray, checksums: np.ndarray) -> None:
    if not np.array_equal(samples[:, 0], first):
        raise DataError(f"{path}: first samples are not those that its header names; fetch both files again")
    if not np.array_equal(samples.sum(axis=1, dtype=np.uint16), checksums):
        raise DataError(f"{path}: checksum is not the one that its header names; fetch both files again")
    if samples.min() == _INVALID:
        lead, at = (int(index[0]) for index in np.nonzero(samples == _INVALID))
        raise DataError(f"{path}: sample {at} of signal {lead} is invalid (NaN); leave it out with --skip-damaged")


def _read_by_wfdb(path: Path, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
            import wfdb  # noqa: PLC0415  (a second to import, and PTB-XL itself never needs it)

            record = wfdb.rdrecord(str(path.with_suffix("")), physical=False)
            checksums, signal = record.calc_checksum(), record.dac()
    except Exception as error:  # wfdb raises whatever its parsing stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: wfdb cannot read this record ({reason}); fetch both files again") from error
    leads = tuple(map(str, record.sig_name or ()))
    order = _check_header(path, record.record_name, record.fs, record.sig_len, leads, expected_hz=fs_hz)
    if set(record.units) != {"mV"}:
        raise DataError(f"{path}: units are {' '.join(record.units)}; expected mV in every lead")
    if None not in record.checksum and checksums != [value % 65536 for value in record.checksum]:
        raise DataError(f"{path}: checksum is not that of the samples; fetch both files again")
    if not np.isfinite(signal).all():
        at, lead = (int(index[0]) for index in np.nonzero(~np.isfinite(signal)))
        raise DataError(f"{path}: sample {at} of signal {lead} is invalid (NaN); leave it out with --skip-damaged")
    return np.ascontiguousarray(signal.T[order], np.float32)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "fetch the file again, or read the files of the other rate with --from"
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
