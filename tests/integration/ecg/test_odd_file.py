"""Files as they come: what can be read has the right value, what cannot is one line with a way on; nothing hangs."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from wfdb_folder import read_table, write_record, write_table

from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.record import read_record
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError

SIGNAL = Synthetic(40, 5).read(4, 100)
GAIN = "1000.0(0)/mV"


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    write_record(tmp_path / "a", SIGNAL, 100)
    return tmp_path / "a"


def edit(stem: Path, old: str, new: str) -> None:
    header = stem.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("gain", "message"),
    [
        ("0(0)/mV", r"gain of lead I is 0/mV; expected 1 to 1e.12 steps"),
        ("0/mV", r"gain of lead I is 0/mV"),
        ("-1000(0)/mV", r"gain of lead I is -1000/mV"),
        ("1e-20(0)/mV", r"gain of lead I is 1e-20/mV"),
        ("10(0)/mV", r"signal \d+ reaches .* mV; expected at most 30"),
        ("1000000(0)/mV", r"no signal moves by more than .* mV"),
        ("1e300(0)/mV", r"gain of lead I is 1e300/mV"),
    ],
)
@pytest.mark.parametrize("form", ["plain", "by wfdb"])
def test_a_gain_that_no_electrocardiograph_has_is_refused(stem: Path, form: str, gain: str, message: str) -> None:
    edit(stem, GAIN, gain)
    if form == "by wfdb":
        edit(stem, "a 12 100 1000", "a 12 100/100 1000")
    with pytest.raises(DataError, match=message) as caught:
        read_record(stem, fs_hz=100)
    assert str(stem) in str(caught.value)


def test_a_signal_without_gain_is_refused(stem: Path) -> None:
    stem.with_suffix(".hea").write_text("a 12 100 1000\n" + "a.dat 16\n" * 12)
    with pytest.raises(DataError, match=r"has a signal without gain, 'a.dat 16'"):
        read_record(stem, fs_hz=100)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("unit", ["mv", "MV", "uV", "µV", "V", "nV"])
def test_units_by_case_and_scale(stem: Path, unit: str, encoding: str) -> None:
    gain = {"u": 1, "µ": 1, "V": 1e6, "n": 1e-3}.get(unit[0], 1000)
    edit(stem, GAIN, f"{gain:g}(0)/{unit}")
    header = stem.with_suffix(".hea")
    header.write_text(header.read_text(), encoding=encoding)
    assert np.allclose(read_record(stem, fs_hz=100), SIGNAL, atol=1e-3)


@pytest.mark.parametrize("unit", ["mv", "uV", "µV"])
def test_units_of_a_record_that_wfdb_reads(tmp_path: Path, unit: str) -> None:
    write_record(tmp_path / "a", SIGNAL, 100, fmt="32")
    edit(tmp_path / "a", GAIN, f"{1000 if unit == 'mv' else 1}(0)/{unit}")
    assert np.allclose(read_record(tmp_path / "a", fs_hz=100), SIGNAL, atol=1e-3)


def test_the_form_of_other_challenges_is_read(tmp_path: Path) -> None:
    """Record line and signal lines name a .mat file, in which samples begin after 24 bytes."""
    write_record(tmp_path / "a", SIGNAL, 100)
    header = (tmp_path / "a.hea").read_text().replace("a 12 100", "a.mat 12 100")
    (tmp_path / "a.hea").write_text(header.replace("a.dat 16 ", "a.mat 16x1+24 ").replace("/mV", "/mv"))
    lead = struct.pack("<5i4s", 30, 12, 1000, 0, 4, b"val\0")
    (tmp_path / "a.mat").write_bytes(lead + (tmp_path / "a.dat").read_bytes())
    (tmp_path / "a.dat").unlink()
    assert np.allclose(read_record(tmp_path / "a", fs_hz=100), SIGNAL, atol=1e-3)


def test_a_dot_is_part_of_a_records_name(tmp_path: Path) -> None:
    write_record(tmp_path / "a", SIGNAL, 100)
    for suffix in (".hea", ".dat"):
        (tmp_path / f"a{suffix}").rename(tmp_path / f"rec.0001{suffix}")
    header = (tmp_path / "rec.0001.hea").read_text()
    (tmp_path / "rec.0001.hea").write_text(header.replace("a 12", "rec.0001 12").replace("a.dat", "rec.0001.dat"))
    assert np.allclose(read_record(tmp_path / "rec.0001", fs_hz=100), SIGNAL, atol=1e-3)


def test_a_header_names_a_file_beside_it_and_no_other(stem: Path) -> None:
    edit(stem, "a.dat", "../a.dat")
    with pytest.raises(DataError, match=r"names signal file '../a.dat'; expected a file beside the header"):
        read_record(stem, fs_hz=100)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    os.truncate(path, 1 << 40)


def nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("is not there"))


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("make", [pipe, device, huge, nowhere, loop], ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["00004_lr.dat", "00004_lr.hea"])
@pytest.mark.parametrize("form", ["plain", "by wfdb"])
def test_what_is_no_plausible_file_is_never_read(
    ptbxl: Path, form: str, name: str, make: Callable[[Path], None]
) -> None:
    stem = ptbxl / "records100/00000/00004_lr"
    if form == "by wfdb":
        edit(stem, "00004_lr 12 100 1000", "00004_lr 12 100/100 1000")
    make(stem.with_name(name))
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        PtbXl(ptbxl).read(4, 100)


@pytest.mark.parametrize("make", [pipe, device, huge, nowhere, loop], ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["ptbxl_database.csv", "scp_statements.csv"])
def test_no_table_is_anything_but_a_plausible_file(ptbxl: Path, name: str, make: Callable[[Path], None]) -> None:
    make(ptbxl / name)
    with pytest.raises(DataError, match=name):
        PtbXl(ptbxl).records()


@pytest.mark.parametrize("make", [nowhere, loop], ids=lambda make: make.__name__)
def test_a_link_to_nothing_among_the_records_is_one_line(ptbxl: Path, make: Callable[[Path], None]) -> None:
    make(ptbxl / "records100/00000/00004_lr.dat")
    with pytest.raises(DataError, match=r"00004_lr\.dat: cannot be looked at"):
        PtbXl(ptbxl).digest()


def change(folder: Path, row: int, **cells: str) -> None:
    table = read_table(folder / "ptbxl_database.csv")
    table[row].update(cells)
    write_table(folder / "ptbxl_database.csv", table)


@pytest.mark.parametrize("name", ["ptbxl_database.csv", "scp_statements.csv"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "\ufeff" + text,
        lambda text: " " + text.replace(",", " , ", text.splitlines()[0].count(",")),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=["byte-order mark", "blanks in headings", "carriage returns", "empty lines"],
)
def test_headings_and_lines_as_spreadsheets_write_them(ptbxl: Path, name: str, damage: Callable[[str], str]) -> None:
    expected = PtbXl(ptbxl).records()
    path = ptbxl / name
    with path.open(newline="") as file:
        text = file.read().replace("\r\n", "\n")
    path.write_text(damage(text), newline="")
    records = PtbXl(ptbxl).records()
    assert records.ecg_id.tolist() == expected.ecg_id.tolist()
    assert records.codes == expected.codes
    assert np.array_equal(records.statements, expected.statements)


def test_numbers_as_numpy_2_writes_them_into_cells(ptbxl: Path) -> None:
    expected = PtbXl(ptbxl).records()
    given = read_table(ptbxl / "ptbxl_database.csv")[3]["scp_codes"]
    change(ptbxl, 3, scp_codes=given.replace("100.0", "np.float64(100.0)").replace(" 0.0", " numpy.int64(0)"))
    assert "np.float64" in (ptbxl / "ptbxl_database.csv").read_text()
    assert np.array_equal(PtbXl(ptbxl).records().statements, expected.statements)


@pytest.mark.parametrize("cell", ["-" * 90_000 + "1", "(" * 9_000, "{1: 2}", "{'NORM'", "9" * 5_000, "lambda: 0", ""])
def test_a_cell_that_is_no_dictionary_is_shown(ptbxl: Path, cell: str) -> None:
    change(ptbxl, 3, scp_codes=cell)
    with pytest.raises(DataError, match=r"ecg_id 4 \(line 5\) has scp_codes = .*; expected a dictionary") as caught:
        PtbXl(ptbxl).records()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("number", ["1e400", "nan", "inf", "99999999999999999999", "0x1", "", "1.5", "-"])
def test_an_identifier_is_a_whole_number(ptbxl: Path, number: str) -> None:
    change(ptbxl, 3, patient_id=number)
    with pytest.raises(DataError, match=r"ecg_id 4 \(line 5\) has patient_id = .*; expected a whole number"):
        PtbXl(ptbxl).records()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("age,", "strat_fold,", 1), "column 'strat_fold' is there twice"),
        (lambda text: text.replace("strat_fold", "fold", 1), "column 'strat_fold' is missing, the first line has ecg"),
        (lambda text: text.replace(",", ";"), "column 'ecg_id' is missing, the first line has ecg_id;patient_id"),
        (lambda text: text.replace("\n5,", "\n5,,", 1), "line 6 has 9 cells, the headings are 8"),
        (lambda text: text.replace("00004_lr", "00003_lr", 1), r"expected a file of its own, .* that of ecg_id 3"),
        (lambda text: text.replace("/00004_lr", "/./00003_lr", 1), r"expected a file of its own, .* of ecg_id 3"),
    ],
    ids=["column twice", "other name", "semicolons", "cell too many", "file twice", "file twice by another path"],
)
def test_a_table_with_two_meanings_is_refused(ptbxl: Path, damage: Callable[[str], str], message: str) -> None:
    path = ptbxl / "ptbxl_database.csv"
    text = damage(path.read_text())
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        source = PtbXl(ptbxl)
        source.records()
        source.read(4, 100)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (("12 100 1000", "10000004 100 1000"), "names 10000004 signals and has lines for 12"),
        (("12 100 1000", "12 100 999999999"), "12 signals of 999999999 samples"),
        ((" 16 ", " 16x999999 "), "more than 10000 samples a frame"),
        ((" 16 ", " 16:999999999 "), "more than 10000 samples a frame or of skew"),
    ],
)
def test_no_room_is_made_for_what_a_header_only_claims(stem: Path, damage: tuple[str, str], message: str) -> None:
    header = stem.with_suffix(".hea")
    text = header.read_text().replace(".dat 16 ", ".dat 16x1:1 ") if damage[0] == "12 100 1000" else header.read_text()
    header.write_text(text.replace(*damage))
    with pytest.raises(DataError, match=message):
        read_record(stem, fs_hz=100)
