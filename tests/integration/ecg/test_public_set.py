"""Public collections by name, from folders made as their makers make them."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from record_files import write_rows
from wfdb_folder import write_record

from ablate.ecg.form import Form
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.preprocessing import resample
from ablate.ecg.public_set import Cinc2021, public_set
from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError

N = 40
SOURCE = Synthetic(N, 5)


def write_cinc2021(folder: Path) -> None:
    """Records at 500 Hz, diagnoses as SNOMED codes; one record is longer than ten seconds."""
    for number in range(1, N + 1):
        signal = SOURCE.read(number, 500)
        stem = folder / ("georgia" if number % 2 else "ningbo") / f"E{number:05d}"
        write_record(stem, np.tile(signal, 2)[:, :6000] if number == 3 else signal, 500, leads=LEADS)
        codes = (
            ["426783006"] * (number % 2) + ["59118001"] * (number % 4 < 2) + ["713427006", "12345"] * (number % 8 == 2)
        )
        with stem.with_suffix(".hea").open("a") as header:
            header.write(f"# Age: 50\n# Dx: {','.join(codes)}\n")


def write_code15(folder: Path) -> None:
    """One part of two is there; 4096 samples at 400 Hz, and a last row that belongs to nobody."""
    import h5py

    tracings = np.zeros((N + 1, 4096, 12), np.float32)
    for number in range(1, N + 1):
        fine = SOURCE.read(number, 500)[:, np.round(np.arange(4000) * 1.25).astype(int).clip(max=4999)]
        tracings[number - 1, 48:4048] = fine.T
    with h5py.File(folder / "exams_part0.hdf5", "w") as file:
        file["exam_id"], file["tracings"] = np.array([*range(501, 501 + N), 0]), tracings
    rows = [
        {"exam_id": 500 + n, "patient_id": n // 2, "trace_file": f"exams_part{int(n > N)}.hdf5", "1dAVb": n % 3 == 0,
         "RBBB": n % 2 == 0, "LBBB": n % 4 == 0, "SB": n % 4 == 1, "ST": n % 4 == 2, "AF": n % 3 == 1}
        for n in range(1, N + 6)
    ]  # fmt: skip
    write_rows(folder / "exams.csv", rows)


def write_mimic_iv_ecg(folder: Path) -> None:
    listed, reports = [], []
    for number in range(1, N + 1):
        path = f"files/p10/s{number}/{number}"
        write_record(folder / path, SOURCE.read(number, 500), 500)
        listed.append({"subject_id": 10 + number // 2, "study_id": number, "file_name": number, "path": path})
        said = ["Sinus rhythm" if number % 2 else "Atrial fibrillation", "Left axis deviation" if number % 3 else ""]
        reports.append({"study_id": number, "report_0": said[0], "report_1": said[1]})
    write_rows(folder / "record_list.csv", listed)
    write_rows(folder / "machine_measurements.csv", reports)
    (folder / "classes.csv").write_text("statement,class\nAtrial fibrillation,AF\nLeft axis deviation,LAD\n")


WRITERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "cinc2021": (write_cinc2021, ("NSR", "RBBB"), "resampled from 500 Hz"),
    "code15": (write_code15, ("1dAVb", "AF", "LBBB", "RBBB", "SB", "ST"), "resampled from 400 Hz"),
    "mimic_iv_ecg": (write_mimic_iv_ecg, ("AF", "LAD"), "resampled from 500 Hz"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_public_set_is_a_cohort(tmp_path: Path, name: str) -> None:
    write, classes, change = WRITERS[name]
    write(tmp_path)
    mapping = "classes.csv" if name == "mimic_iv_ecg" else None
    source = public_set(name, tmp_path, form=Form(), seed=0, mapping=mapping)
    records = source.records()
    assert tuple(sorted(set(records.classes["labels"].values()))) == classes
    assert len(records.ecg_id) == N
    cohort = open_cohort(prepare(source, cache_dir=tmp_path / "arrays"))
    assert cohort.source == name
    assert cohort.changes[change] == N
    for patient in np.unique(records.patient_id):
        assert len(np.unique(records.fold[records.patient_id == patient])) == 1
    expected = resample(SOURCE.read(4, 500), from_hz=500, fs_hz=100)
    read = source.read(int(records.ecg_id[3 if name != "cinc2021" else 21]), 100)  # there by folder, then number
    assert np.corrcoef(read[1], expected[1])[0, 1] > 0.98


def test_codes_that_the_challenge_scored_as_one_are_one_class(tmp_path: Path) -> None:
    write_cinc2021(tmp_path)
    records = Cinc2021(tmp_path).records()
    assert records.classes["labels"] == {"426783006": "NSR", "59118001": "RBBB", "713427006": "RBBB"}
    assert "12345" in records.codes  # a statement without a class


def test_reports_need_a_mapping(tmp_path: Path) -> None:
    write_mimic_iv_ecg(tmp_path)
    with pytest.raises(DataError, match=r"reports of MIMIC-IV-ECG are sentences; write data.mapping"):
        public_set("mimic_iv_ecg", tmp_path, form=Form(), seed=0, mapping=None).records()


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_of_something_else_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        public_set(name, tmp_path, form=Form(), seed=0, mapping="classes.csv").records()


@pytest.mark.skipif("ABLATE_TEST_RECORDS" not in os.environ, reason="ABLATE_TEST_RECORDS names no folder of records")
def test_real_records_of_the_challenge_have_their_codes() -> None:
    source = Cinc2021(Path(os.environ["ABLATE_TEST_RECORDS"]))
    listing = source._list()
    assert len(listing.ecg_id) == 5
    given = {place.path: {code for code, has in zip(listing.codes, own, strict=True) if has}
             for place, own in zip(listing.places, listing.statements, strict=True) if place}  # fmt: skip
    assert all(codes for name, codes in given.items() if name != "s0010_re")
    assert all(code.isdigit() for codes in given.values() for code in codes)
    signal = source.read(1, 100)
    assert signal.shape == (12, 1000)


@pytest.mark.parametrize(
    ("name", "table", "damage"),
    [
        ("code15", "exams.csv", [("exam_id", "5o3", "a whole number"), ("patient_id", "1.5", "a whole number"),
                                 ("AF", "maybe", "0 or 1")]),
        ("mimic_iv_ecg", "record_list.csv", [("study_id", "s7", "a whole number"),
                                             ("subject_id", "p10", "a whole number")]),
    ],
)  # fmt: skip
def test_cells_that_are_no_numbers_are_said_all_at_once(
    tmp_path: Path, name: str, table: str, damage: list[tuple[str, str, str]]
) -> None:
    WRITERS[name][0](tmp_path)
    with (tmp_path / table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, (heading, cell, _) in zip(rows, damage, strict=False):
        row[heading] = cell
    write_rows(tmp_path / table, rows)
    mapping = "classes.csv" if name == "mimic_iv_ecg" else None
    findings = "\n".join(
        each.text for each in public_set(name, tmp_path, form=Form(), seed=0, mapping=mapping).findings
    )
    for line, (heading, cell, expected) in enumerate(damage, 2):
        assert f"{table}: line {line} has {heading} = {cell!r}; expected {expected}" in findings
