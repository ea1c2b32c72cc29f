"""Each format and each kind of damage: the right value, or one line that says what to do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_files import WRITERS, write_wfdb
from wfdb_folder import write_record

from ablate.ecg.form import Form
from ablate.ecg.lead_name import lead_of
from ablate.ecg.preprocessing import resample
from ablate.ecg.recording import read_recording
from ablate.ecg.source import LEADS, Reading
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.ten_seconds import to_ten_seconds
from ablate.errors import DataError

SIGNAL = Synthetic(40, 5).read(4, 100)
FORM = Form(rates_hz=100)
AT_500 = Synthetic(40, 5).read(4, 500)


def read(path: Path, form: Form = FORM, **options: Any) -> Reading:
    return to_ten_seconds(read_recording(path, form, row=options.pop("row", None)), form, fs_hz=100, **options)


def saved(folder: Path, signal: np.ndarray) -> Path:
    np.save(folder / "a.npy", signal)
    return folder / "a.npy"


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_format_gives_the_same_millivolts(tmp_path: Path, write: Callable[[Path, np.ndarray, int], str]) -> None:
    name = write(tmp_path / "a", SIGNAL, 100)
    atol = {"write_edf": 4e-4, "write_wfdb_212": 3e-3}.get(write.__name__, 1e-6)  # their own resolution
    reading = read(tmp_path / name)
    assert np.allclose(reading.signal, SIGNAL, atol=atol)
    assert reading.signal.dtype == np.float32
    assert (reading.from_hz, reading.changes) == (100, ())


def test_one_of_many_records_in_a_file(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "many.h5", "w") as file:
        file["tracings"] = np.stack([SIGNAL.T * 0.5, SIGNAL.T])
        file["exam_id"] = np.array([7, 8])
    assert np.array_equal(read(tmp_path / "many.h5", row=1).signal, SIGNAL)


def write_many_npy(path: Path, signals: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), signals)
    return path.with_suffix(".npy")


def write_many_mat(path: Path, signals: np.ndarray) -> Path:
    from scipy.io import savemat

    savemat(path.with_suffix(".mat"), {"tracings": signals})
    return path.with_suffix(".mat")


def write_many_hdf5(path: Path, signals: np.ndarray) -> Path:
    import h5py

    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["tracings"] = signals
    return path.with_suffix(".h5")


@pytest.mark.parametrize("write", [write_many_npy, write_many_mat, write_many_hdf5])
@pytest.mark.parametrize("row", [2, -1])
def test_a_row_that_a_file_of_many_does_not_have(
    tmp_path: Path, write: Callable[[Path, np.ndarray], Path], row: int
) -> None:
    path = write(tmp_path / "many", np.stack([SIGNAL.T * 0.5, SIGNAL.T]))
    assert np.array_equal(read(path, row=1).signal, SIGNAL)
    with pytest.raises(DataError, match=rf"many\.\w+: has no record {row}; (its array|tracings) holds 2"):
        read(path, row=row)


def test_signals_in_several_files_and_more_leads_than_twelve(tmp_path: Path) -> None:
    """As the PTB diagnostic database is stored: 15 leads in two files, in lower case."""
    write_record(tmp_path / "a", SIGNAL, 100, leads=[lead.lower() for lead in LEADS])
    write_record(tmp_path / "b", SIGNAL[:3] * 0.1, 100, leads=["vx", "vy", "vz"])
    first, *signals = (tmp_path / "a.hea").read_text().splitlines()
    more = (tmp_path / "b.hea").read_text().splitlines()[1:]
    (tmp_path / "a.hea").write_text("\n".join([first.replace("a 12", "a 15"), *signals, *more]) + "\n")
    reading = read(tmp_path / "a.hea")
    assert np.allclose(reading.signal, SIGNAL, atol=1e-6)
    assert reading.changes == ("12 of 15 leads chosen",)


@pytest.mark.parametrize(
    ("name", "lead"),
    [("ii", "II"), ("Lead aVF", "aVF"), ("ECG V1", "V1"), ("DIII", "III"), ("MDC_ECG_LEAD_AVR", "aVR"),
     ("Lead I (Einthoven)", "I"), ("EKG-V6", "V6"), ("vx", None), ("MLII", None), ("Resp", None), ("I-REF", "I")],
)  # fmt: skip
def test_names_of_leads(name: str, lead: str | None) -> None:
    assert lead_of(name) == lead


def test_leads_in_another_order(tmp_path: Path) -> None:
    order = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]
    form = replace(FORM, leads=tuple(LEADS[at] for at in order))
    assert np.array_equal(read(saved(tmp_path, SIGNAL[order]), form).signal, SIGNAL)


def test_limb_leads_are_derived_and_chest_leads_stay_flat_where_that_is_declared(tmp_path: Path) -> None:
    form = replace(FORM, leads=("I", "II", "V1", "V2", "V3", "V4", "V5"))
    chosen = [LEADS.index(lead) for lead in form.leads or ()]
    reading = read(saved(tmp_path, SIGNAL[chosen]), form)
    assert np.allclose(reading.signal[:-1], SIGNAL[:-1], atol=0.002)  # they were rounded to a microvolt
    assert not reading.signal[-1].any()
    assert reading.changes == ("derived: III aVR aVL aVF", "without signal: V6")


def test_other_rates_are_resampled_as_ptbxl_is(tmp_path: Path) -> None:
    reading = read(saved(tmp_path, AT_500), Form(rates_hz=(250, 500)), rate=500)
    assert np.array_equal(reading.signal, resample(AT_500, from_hz=500, fs_hz=100))
    assert (reading.from_hz, reading.changes) == (500, ("resampled from 500 Hz",))


@pytest.mark.parametrize("rate", [128, 257, 360, 400, 1000])
def test_any_rate_gives_ten_seconds(tmp_path: Path, rate: int) -> None:
    times = np.arange(10 * rate) / rate
    signal = np.stack([np.sin(2 * np.pi * (1 + lead) * times) for lead in range(12)])
    reading = read(saved(tmp_path, signal), Form(rates_hz=rate))
    expected = np.stack([np.sin(2 * np.pi * (1 + lead) * np.arange(1000) / 100) for lead in range(12)])
    assert np.allclose(reading.signal[:, 50:-50], expected[:, 50:-50], atol=0.02)


@pytest.mark.parametrize(
    ("form", "options", "first"),
    [
        (Form(rates_hz=100, length="crop"), {}, 0),
        (Form(rates_hz=100, length="crop", take="middle"), {}, 250),
        (Form(rates_hz=100, length="crop_or_pad", take="last"), {}, 500),
        (Form(rates_hz=100), {"start_s": 1.23}, 123),
    ],
)
def test_ten_seconds_of_a_longer_record(tmp_path: Path, form: Form, options: dict[str, Any], first: int) -> None:
    long = np.concatenate([SIGNAL, SIGNAL[:, :500] * 0.5], axis=1)
    reading = read(saved(tmp_path, long), form, **options)
    assert np.array_equal(reading.signal, long[:, first : first + 1000])
    assert reading.changes == ("cropped to ten seconds",)


def test_a_shorter_record_is_padded(tmp_path: Path) -> None:
    reading = read(saved(tmp_path, SIGNAL[:, :800]), Form(rates_hz=100, length="pad"))
    assert np.array_equal(reading.signal[:, :800], SIGNAL[:, :800])
    assert not reading.signal[:, 800:].any()
    assert reading.changes == ("padded to ten seconds",)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1.0), ("uV", 1e3), ("V", 1e-3), ("nV", 1e6)])
def test_units(tmp_path: Path, unit: Any, factor: float) -> None:
    reading = read(saved(tmp_path, SIGNAL.astype(np.float64) * factor), replace(FORM, unit=unit))
    assert np.allclose(reading.signal, SIGNAL, atol=1e-6)


def test_gaps_up_to_the_declared_length_are_interpolated(tmp_path: Path) -> None:
    straight = SIGNAL.copy()
    straight[3, 100:121] = np.linspace(straight[3, 100], straight[3, 120], 21)
    gappy = straight.copy()
    gappy[3, 101:120] = np.nan
    gappy[5, :4] = np.nan
    straight[5, :4] = straight[5, 4]  # at an end the nearest value
    reading = read(saved(tmp_path, gappy), replace(FORM, longest_gap_s=0.19))
    assert np.allclose(reading.signal, straight, atol=1e-6)
    assert reading.changes == ("gaps interpolated",)
    with pytest.raises(
        DataError, match=r"aVR has no value for 0.19 s from 1.01 s on; expected at most 0.18 s"
    ) as caught:
        read(saved(tmp_path, gappy), replace(FORM, longest_gap_s=0.18))
    assert caught.value.by_rule


def test_a_missing_sample_of_a_wfdb_record_is_a_gap(tmp_path: Path) -> None:
    gappy = SIGNAL.astype(np.float64)
    gappy[2, 500] = np.nan
    write_wfdb(tmp_path / "a", gappy, 100)
    reading = read(tmp_path / "a", replace(FORM, longest_gap_s=0.02))
    assert np.isclose(reading.signal[2, 500], (SIGNAL[2, 499] + SIGNAL[2, 501]) / 2, atol=1e-5)


def without_value(signal: np.ndarray) -> np.ndarray:
    return np.where(np.arange(1000) == 7, np.nan, signal)


DAMAGE: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Form, str, str]] = {
    "eight seconds": (lambda x: x[:, :800], FORM, "length", r'has 8 s; expected 10; write data.form.length = "pad"'),
    "fifteen seconds": (
        lambda x: np.tile(x, 2)[:, :1500], FORM, "length", r'has 15 s; expected 10; write data.form.length = "crop"'),
    "nothing": (lambda x: x[:, :0], FORM, "length", r"has 0 s; expected 10"),
    "microvolts": (lambda x: x * 1000, FORM, "amplitude", r"reaches .* mV; expected at most 30; are gain and unit"),
    "volts": (lambda x: x / 1000, FORM, "amplitude", r"no signal moves by more than .* mV"),
    "a sample without value": (without_value, FORM, "gap", r"I has no value for 0.01 s from 0.07 s on; write"),
    "all without value": (lambda x: x * np.nan, replace(FORM, longest_gap_s=1.0), "gap", r"for 10 s from 0 s on"),
    "eleven leads": (lambda x: x[:11], FORM, "shape", r"shape \(11, 1000\); expected 12 leads along one axis"),
    "square": (lambda x: x[:, :12], FORM, "shape", r"shape \(12, 12\); expected 12 leads along one axis"),
    "one lead": (lambda x: x[0], FORM, "shape", r"holds float32 of shape \(1000,\); expected numbers of leads"),
    "text": (lambda x: x.astype("U8"), FORM, "shape", r"holds <U8 of shape"),
    "no rate": (lambda x: x, Form(), "rate", r"does not say its rate; write data.form.rates_hz = N"),
    "another number of leads": (lambda x: x, replace(FORM, leads=("I", "II")), "shape", r"expected 2 leads along"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line_with_a_remedy(tmp_path: Path, name: str) -> None:
    damage, form, kind, message = DAMAGE[name]
    with pytest.raises(DataError, match=message) as caught:
        read(saved(tmp_path, damage(SIGNAL)), form)
    assert str(tmp_path / "a.npy") in str(caught.value)
    assert caught.value.kind == kind


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".h5", ".edf", ".dcm", ".hea", ".xyz", ""])
@pytest.mark.parametrize("content", [None, b"", b"no record at all", b"\x93NUMPY\x01\x00", b"MATLAB 5.0 MAT-file" * 9])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    path = tmp_path / f"a{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)) as caught:
        read(path)
    assert len(str(caught.value)) < 500


def test_a_rate_that_contradicts_what_is_declared(tmp_path: Path) -> None:
    write_record(tmp_path / "a", AT_500, 500)
    with pytest.raises(DataError, match=r"has 500 Hz; expected 250, as declared"):
        read(tmp_path / "a", Form(rates_hz=250))
    with pytest.raises(DataError, match=r"has 500 Hz; expected 400, as declared"):
        read(tmp_path / "a", Form(rates_hz="any"), rate=400)


def test_a_lead_that_is_there_twice_or_not_at_all(tmp_path: Path) -> None:
    write_record(tmp_path / "a", SIGNAL, 100)
    header = tmp_path / "a.hea"
    text = header.read_text()
    header.write_text(text.replace(" V6", " V5"))
    with pytest.raises(DataError, match=r"has lead V5 twice"):
        read(tmp_path / "a")
    header.write_text(text.replace(" V6", " V7"))
    with pytest.raises(DataError, match=r"lacks V6, it has .*V7; where all records lack them, declare"):
        read(tmp_path / "a")
