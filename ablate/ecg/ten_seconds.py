"""From a recording to the cohort's form: twelve leads in order, ten seconds, one rate, no gaps.

Nothing is done that the form does not declare, and what is done is told.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float32

from ablate.ecg.form import Form
from ablate.ecg.lead_name import lead_positions
from ablate.ecg.plausible import check_plausible
from ablate.ecg.preprocessing import resample
from ablate.ecg.recording import Recording
from ablate.ecg.source import DURATION_S, LEADS, Reading
from ablate.errors import DataError

_LEAVE_OUT = "or leave the record out with --skip-damaged"
# The limb leads from any two of I, II and III. Source: Einthoven's and Goldberger's definitions.
_LIMB = {
    "I": (("II", 1.0), ("III", -1.0)),
    "II": (("I", 1.0), ("III", 1.0)),
    "III": (("II", 1.0), ("I", -1.0)),
    "aVR": (("I", -0.5), ("II", -0.5)),
    "aVL": (("I", 0.5), ("III", -0.5)),
    "aVF": (("II", 0.5), ("III", 0.5)),
}


def to_ten_seconds(
    recording: Recording, form: Form, *, fs_hz: int, start_s: float | None = None, rate: int | None = None
) -> Reading:
    """The recording as the cohort stores it, before filters and scaling.

    Args:
        recording: as read.
        form: what is declared.
        fs_hz: rate that is wanted.
        start_s: where the ten seconds begin; by the form's ``take`` where None.
        rate: that the table names for this record, in Hz.

    Raises:
        DataError: it cannot be brought to that form without something that is not declared; ``by_rule`` where the form
            declares that such a record is left out.
    """
    changes: list[str] = []
    from_hz = _rate(recording, form, rate)
    signal = _twelve_leads(recording, form, changes)
    signal = _cut(recording, signal, form, from_hz, start_s, changes)
    signal = _without_gaps(recording, signal, form, from_hz, changes)
    check_plausible(recording.where, signal)
    if from_hz != fs_hz:
        changes.append(f"resampled from {from_hz} Hz")
        signal = np.asarray(resample(signal, from_hz=from_hz, fs_hz=fs_hz), np.float32)
    return Reading(_padded(signal, fs_hz * DURATION_S, changes), from_hz, tuple(changes))


def with_derived(leads: Iterable[str]) -> frozenset[str]:
    """These leads of ``LEADS`` and the limb leads that follow from them."""
    there = set(leads)
    for lead, parts in _LIMB.items():
        if all(part in there for part, _ in parts):
            there.add(lead)
    return frozenset(there)


def _rate(recording: Recording, form: Form, of_row: int | None) -> int:
    """Whole samples a second, by the file, the table or the form; these must not contradict each other."""
    of_file = recording.fs_hz
    rate = of_file or of_row or form.declared_hz
    if rate is None:
        raise _problem(
            recording, "rate", "does not say its rate; write data.form.rates_hz = N, or a column `fs_hz` in the table"
        )
    if rate != int(rate):
        raise _problem(recording, "rate", f"has {rate:g} samples a second; expected a whole number")
    if (of_file and of_row and of_file != of_row) or not form.allows_hz(int(rate)):
        expected = of_row or form.rates_hz
        raise _problem(
            recording, "rate", f"has {rate:g} Hz; expected {expected}, as declared; correct that, {_LEAVE_OUT}"
        )
    return int(rate)


def _twelve_leads(recording: Recording, form: Form, changes: list[str]) -> Float32[np.ndarray, "lead sample"]:
    names = recording.leads or ()
    try:
        positions = lead_positions(names)
    except ValueError as error:
        raise _problem(recording, "leads", f"has lead {error} twice ({' '.join(names)}); rename one") from error
    missing = [lead for lead in LEADS if lead not in positions]
    if missing:
        declared = lead_positions(form.leads) if form.leads else dict.fromkeys(LEADS, 0)
        if undeclared := [lead for lead in missing if lead in declared]:
            raise _problem(
                recording,
                "leads",
                f"lacks {' '.join(undeclared)}, it has {' '.join(names)[:120]}; where all records lack them, declare "
                f"those there are in data.form.leads, {_LEAVE_OUT}",
            )
    if len(names) > len(positions):
        changes.append(f"{len(positions)} of {len(names)} leads chosen")
    if list(positions.values()) == list(range(len(LEADS))) == [LEADS.index(lead) for lead in positions] and (
        len(names) == len(LEADS)
    ):
        return recording.signal
    rows = {lead: recording.signal[position] for lead, position in positions.items()}
    return _completed(rows, missing, changes)


def _completed(
    rows: Mapping[str, Float32[np.ndarray, "sample"]], missing: list[str], changes: list[str]
) -> Float32[np.ndarray, "lead sample"]:
    """All twelve: limb leads from two others of I, II and III, what cannot be derived flat."""
    leads = dict(rows)
    for lead, parts in _LIMB.items():
        if lead in missing and all(part in leads for part, _ in parts):
            leads[lead] = np.asarray(sum(leads[part] * np.float32(weight) for part, weight in parts), np.float32)
    if derived := [lead for lead in missing if lead in leads]:
        changes.append(f"derived: {' '.join(derived)}")
    if flat := [lead for lead in missing if lead not in leads]:
        changes.append(f"without signal: {' '.join(flat)}")
    n_samples = len(next(iter(rows.values())))
    return np.stack([leads.get(lead, np.zeros(n_samples, np.float32)) for lead in LEADS])


def _cut(
    recording: Recording, signal: Float32[np.ndarray, "lead sample"], form: Form, rate: int, start_s: float | None,
    changes: list[str],
) -> Float32[np.ndarray, "lead sample"]:  # fmt: skip
    """At most ten seconds; shorter ones only where they may be padded."""
    n_wanted, n_samples = rate * DURATION_S, signal.shape[1]
    if start_s is None and n_samples == n_wanted:
        return signal
    may_crop = start_s is not None or form.length in ("crop", "crop_or_pad")
    may_pad = form.length in ("pad", "crop_or_pad")
    if (n_samples > n_wanted and not may_crop) or (n_samples < n_wanted and not may_pad) or not n_samples:
        rule = "crop" if n_samples > n_wanted else "pad"
        raise _problem(
            recording,
            "length",
            f'has {n_samples / rate:.4g} s; expected {DURATION_S}; write data.form.length = "{rule}", {_LEAVE_OUT}',
        )
    first = round(start_s * rate) if start_s is not None else _first(form, n_samples, n_wanted)
    part = signal[:, first : first + n_wanted]
    if not 0 <= first < n_samples or (part.shape[1] < n_wanted and not may_pad):
        raise _problem(
            recording, "length", f"has {n_samples / rate:.4g} s; from {first / rate:g} s on there are not ten seconds"
        )
    if part.shape[1] < n_samples:
        changes.append("cropped to ten seconds")
    return np.ascontiguousarray(part)


def _first(form: Form, n_samples: int, n_wanted: int) -> int:
    spare = max(n_samples - n_wanted, 0)
    return {"first": 0, "middle": spare // 2, "last": spare}[form.take]


def _without_gaps(
    recording: Recording, signal: Float32[np.ndarray, "lead sample"], form: Form, rate: int, changes: list[str]
) -> Float32[np.ndarray, "lead sample"]:
    """Gaps up to the declared length filled along a straight line, or with the nearest value at an end."""
    is_gap = ~np.isfinite(signal)
    if not is_gap.any():
        return signal
    lead, at, n_longest = longest_gap(is_gap)
    if n_longest > form.longest_gap_s * rate:
        remedy = (
            f"expected at most {form.longest_gap_s:g} s (data.form.longest_gap_s)"
            if form.longest_gap_s
            else f"write data.form.longest_gap_s to interpolate short ones, {_LEAVE_OUT}"
        )
        raise _problem(
            recording,
            "gap",
            f"{LEADS[lead]} has no value for {n_longest / rate:.4g} s from {at / rate:.4g} s on; {remedy}",
            by_rule=bool(form.longest_gap_s),
        )
    changes.append("gaps interpolated")
    filled, times = signal.copy(), np.arange(signal.shape[1])
    for row, gap in zip(filled, is_gap, strict=True):
        if gap.any():
            row[gap] = np.interp(times[gap], times[~gap], row[~gap])
    return filled


def longest_gap(is_gap: Bool[np.ndarray, "lead sample"]) -> tuple[int, int, int]:
    """Lead, first sample and number of samples of the longest gap."""
    edges = np.diff(np.pad(is_gap, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    leads, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    longest = int(np.argmax(ends - starts))
    return int(leads[longest]), int(starts[longest]), int((ends - starts)[longest])


def _padded(
    signal: Float32[np.ndarray, "lead sample"], n_wanted: int, changes: list[str]
) -> Float32[np.ndarray, "lead wanted"]:
    n_missing = n_wanted - signal.shape[1]
    if n_missing <= 0:
        return signal[:, :n_wanted]
    changes.append("padded to ten seconds")
    return np.pad(signal, ((0, 0), (0, n_missing)))


def _problem(recording: Recording, kind: str, text: str, *, by_rule: bool = False) -> DataError:
    return DataError(f"{recording.where}: {text}", kind=kind, by_rule=by_rule)
