"""What PTB-XL's folder says is what comes out, and each way of being wrong is one line."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from wfdb_folder import read_table, write_by_wfdb, write_record, write_table

from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.record import read_record
from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError


def _change(folder: Path, row: int, **values: int | str) -> None:
    table = read_table(folder / "ptbxl_database.csv")
    table[row].update({name: str(value) for name, value in values.items()})
    write_table(folder / "ptbxl_database.csv", table)


def test_records_are_those_of_the_tables(pristine: Path) -> None:
    records = PtbXl(pristine).records()
    table = read_table(pristine / "ptbxl_database.csv")
    assert records.ecg_id.tolist() == [int(row["ecg_id"]) for row in table]
    assert records.patient_id.tolist() == [int(float(row["patient_id"])) for row in table]
    assert records.fold.tolist() == [int(row["strat_fold"]) for row in table]
    assert records.codes == ("AFIB", "IMI", "LVH", "NDT", "NORM", "PVC", "SR")
    for row, given in zip(table, records.statements, strict=True):
        assert {code for code, has in zip(records.codes, given, strict=True) if has} == set(eval(row["scp_codes"]))


@pytest.mark.parametrize("fs_hz", [100, 500])
def test_signals_come_back_in_millivolts(pristine: Path, fs_hz: int) -> None:
    source = pickle.loads(pickle.dumps(PtbXl(pristine)))
    for ecg_id in (1, 17, 40):
        assert np.allclose(source.read(ecg_id, fs_hz), Synthetic(40, 5).read(ecg_id, fs_hz), atol=1e-6)


@pytest.mark.parametrize("fmt", ["16", "32", "24", "212"])
def test_wfdb_and_the_plain_way_read_the_same(tmp_path: Path, fmt: str) -> None:
    signal = np.clip(Synthetic(3, 8).read(1, 100), -2, 2)  # as much as twelve bits hold
    write_record(tmp_path / "a", signal, 100, fmt=fmt)
    assert np.allclose(read_record(tmp_path / "a", fs_hz=100), signal, atol=1e-6)


def test_leads_in_another_order_are_sorted(tmp_path: Path) -> None:
    signal = Synthetic(3, 8).read(1, 100)
    order = np.random.default_rng(0).permutation(12)
    write_record(tmp_path / "a", signal[order], 100, leads=[LEADS[lead] for lead in order])
    assert np.allclose(read_record(tmp_path / "a", fs_hz=100), signal, atol=1e-6)


def test_another_gain_and_baseline_are_taken_into_account(tmp_path: Path) -> None:
    signal = Synthetic(3, 8).read(1, 100)
    write_by_wfdb(
        "a", fs=100, units=["mV"] * 12, sig_name=list(LEADS), d_signal=np.round(signal.T * 200 + 30).astype(np.int64),
        fmt=["16"] * 12, adc_gain=[200.0] * 12, baseline=[30] * 12, write_dir=str(tmp_path),
    )  # fmt: skip
    assert np.allclose(read_record(tmp_path / "a", fs_hz=100), signal, atol=0.0026)


def test_the_other_rate_is_taken_where_the_wanted_is_not_there(ptbxl: Path) -> None:
    import shutil

    assert PtbXl(ptbxl).stored_hz(500) == 500
    assert PtbXl(ptbxl, files_hz=100).stored_hz(500) == 100
    shutil.rmtree(ptbxl / "records500")
    assert PtbXl(ptbxl).stored_hz(500) == 100


def test_digest_notices_a_change_of_any_file(ptbxl: Path) -> None:
    digests = [PtbXl(ptbxl).digest()]

    def note() -> None:
        digests.append(PtbXl(ptbxl).digest())

    (ptbxl / "records100/00000/00007_lr.dat").write_bytes(b"1")
    note()
    (ptbxl / "records100/00000/00008_lr.hea").unlink()
    note()
    _change(ptbxl, 3, strat_fold=2)
    note()
    (ptbxl / "scp_statements.csv").write_text((ptbxl / "scp_statements.csv").read_text() + "X,x,,,1.0,,,\n")
    note()
    assert len(set(digests)) == len(digests)
    (ptbxl / "records500/00000/00008_hr.hea").unlink()
    assert PtbXl(ptbxl).digest() == digests[-1]  # no file of this rate


FOLDERS = {
    "is no PTB-XL, ptbxl_database.csv is missing": lambda folder: (folder / "ptbxl_database.csv").unlink(),
    "is no PTB-XL, scp_statements.csv is missing": lambda folder: (folder / "scp_statements.csv").unlink(),
    r"has strat_fold = 11; expected 1 to 10": lambda folder: _change(folder, 0, strat_fold=11),
    r"\(line 5\) has strat_fold = 'x'; expected a whole number": lambda folder: _change(folder, 3, strat_fold="x"),
    r"\(line 5\) has patient_id = ''; expected a whole number": lambda folder: _change(folder, 3, patient_id=""),
    r"\(line 5\) has patient_id = '1.5'; expected a whole": lambda folder: _change(folder, 3, patient_id="1.5"),
    r"ecg_id 4 \(line 5\) has scp_codes = 'FOO'; expected a statement of": lambda folder: _change(
        folder, 3, scp_codes="{'NORM': 100.0, 'FOO': 0.0}"
    ),
    r"has scp_codes = 'NORM'; expected a dictionary": lambda folder: _change(folder, 3, scp_codes="NORM"),
    r"has scp_codes = .*; expected a dictionary": lambda folder: _change(folder, 3, scp_codes="__import__('os')"),
    r"ecg_id 1 occurs twice": lambda folder: _change(folder, 3, ecg_id=1),
    r"patient 1003 has records in two folds": lambda folder: _change(folder, 25, patient_id=1003),
    r"column 'strat_fold' is missing": lambda folder: _rename_column(folder, "strat_fold", "fold"),
    r"lists no records": lambda folder: (folder / "ptbxl_database.csv").write_text(
        (folder / "ptbxl_database.csv").read_text().splitlines()[0] + "\n"
    ),
    r"has filename_lr = '\.\./\.\./etc/passwd'; expected a path within": lambda folder: _change(
        folder, 3, filename_lr="../../etc/passwd"
    ),
    r"cannot be read as a table": lambda folder: (folder / "ptbxl_database.csv").write_bytes(b"\xff\xfe\x00bad" * 9),
}


@pytest.mark.parametrize("message", FOLDERS)
def test_a_wrong_folder_is_one_line_that_names_file_and_place(ptbxl: Path, message: str) -> None:
    FOLDERS[message](ptbxl)
    with pytest.raises(DataError, match=message) as caught:
        source = PtbXl(ptbxl)
        source.records()
        source.read(4, 100)
    assert str(ptbxl) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_around_it_is_told_apart_from_none(ptbxl: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"did you mean {ptbxl}"):
        PtbXl(tmp_path)
    with pytest.raises(DataError, match="ablate data fetch ptbxl"):
        PtbXl(tmp_path / "nothing")


def _rename_column(folder: Path, old: str, new: str) -> None:
    text = (folder / "ptbxl_database.csv").read_text()
    (folder / "ptbxl_database.csv").write_text(text.replace(old, new, 1))


def _edit_header(folder: Path, old: str, new: str) -> None:
    path = folder / "records100/00000/00004_lr.hea"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _dat(folder: Path) -> Path:
    return folder / "records100/00000/00004_lr.dat"


def _flip(folder: Path, at: int) -> None:
    content = bytearray(_dat(folder).read_bytes())
    content[at] ^= 1
    _dat(folder).write_bytes(content)


def _rewrite(folder: Path, signal: np.ndarray, **how: str | tuple[str, str, str]) -> None:
    write_record(folder / "records100/00000/00004_lr", signal, how.pop("fs_hz", 100), **how)


def _with_gap(signal: np.ndarray) -> np.ndarray:
    signal = signal.copy()
    signal[3, 17] = np.nan
    return signal


SIGNAL = Synthetic(40, 5).read(4, 100)
RECORDS = {
    r"lr.dat: cannot be read \(No such file": lambda folder: _dat(folder).unlink(),
    r"lr.hea: cannot be read \(No such file": lambda folder: _dat(folder).with_suffix(".hea").unlink(),
    r"lr.dat: has 23999 bytes, its header needs 24000": lambda folder: _dat(folder).write_bytes(
        _dat(folder).read_bytes()[:-1]
    ),
    r"lr.dat: has 0 bytes": lambda folder: _dat(folder).write_bytes(b""),
    r"lr.dat: first samples are not those": lambda folder: _flip(folder, 0),
    r"lr.dat: checksum is not the one": lambda folder: _flip(folder, 12345),
    r"lr.hea: sampling rate is 200 Hz; expected 100": lambda folder: _edit_header(folder, " 12 100 ", " 12 200 "),
    r"lr.hea: has 999 samples; expected 1000": lambda folder: _edit_header(folder, " 100 1000", " 100 999"),
    r"lr.hea: names record '00005_lr'; expected '00004_lr'": lambda folder: _edit_header(
        folder, "00004_lr 12", "00005_lr 12"
    ),
    r"lr.hea: leads are .* expected I II III": lambda folder: _edit_header(folder, " V6", " X6"),
    r"lr.hea: leads are I II III; expected": lambda folder: _rewrite(folder, SIGNAL[:3], leads=LEADS[:3]),
    r"lr.hea: unit of lead I is 'mmHg'; expected mV": lambda folder: _edit_header(folder, "/mV", "/mmHg"),
    r"lr.hea: no signal moves by more than 0.00211 mV; expected at least 0.01": lambda folder: _edit_header(
        folder, "1000.0(0)/mV", "1000.0(0)/uV"
    ),
    r"lr.hea: says 'twelve' where its first line has the number of signals": lambda folder: _edit_header(
        folder, "00004_lr 12 100", "00004_lr twelve"
    ),
    r"sample 17 of signal 3 is invalid \(NaN\)": lambda folder: _rewrite(folder, _with_gap(SIGNAL)),
    r"lr.hea: sample 17 of signal 3 is invalid \(NaN\)": lambda folder: _rewrite(folder, _with_gap(SIGNAL), fmt="32"),
}


@pytest.mark.parametrize("message", RECORDS)
def test_a_damaged_record_is_one_line_that_names_the_file(ptbxl: Path, message: str) -> None:
    RECORDS[message](ptbxl)
    with pytest.raises(DataError, match=message) as caught:
        PtbXl(ptbxl).read(4, 100)
    assert "00004_lr" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_record(pristine: Path) -> None:
    with pytest.raises(DataError, match="there is no record with ecg_id 41"):
        PtbXl(pristine).read(41, 100)
