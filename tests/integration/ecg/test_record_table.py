"""Own records by a table: the same bits as PTB-XL's own layout, folds by patient, and every complaint at once."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_files import write_npy, write_rows, write_wfdb

from ablate.ecg.collection_check import CollectionCheck, check_collection
from ablate.ecg.finding import DataFindings
from ablate.ecg.form import Form
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.record_table import Columns, RecordTable
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.task import class_labels
from ablate.errors import DataError

N, LABELS = 60, ("AFIB", "NORM")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty records as .npy; two of each patient; one label as often as not, the other now and then."""
    folder = tmp_path_factory.mktemp("own")
    source = Synthetic(N, 5)
    for number in range(1, N + 1):
        write_npy(folder / f"r{number}", source.read(number, 100), 100)
    write_rows(folder / "records.csv", rows())
    return folder


def rows() -> list[Row]:
    return [
        {"path": f"r{n}.npy", "patient": f"p{n // 2}", "AFIB": int(n % 4 < 2), "NORM": int(n % 3 == 0)}
        for n in range(1, N + 1)
    ]


def table(folder: Path, **options: Any) -> RecordTable:
    given = {"form": Form(rates_hz=100), "columns": Columns(labels=LABELS), **options}
    return RecordTable(folder, **given)


def check(source: RecordTable, **options: Any) -> CollectionCheck:
    return check_collection(source, fs_hz=100, preprocessing="none", n_processes=1, **options)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("write", [write_npy, write_wfdb], ids=lambda write: write.__name__)
def test_a_table_gives_the_bits_of_ptbxl(
    pristine: Path, tmp_path: Path, write: Callable[[Path, np.ndarray, int], str]
) -> None:
    ptbxl = PtbXl(pristine)
    records = ptbxl.records()
    names, labels = class_labels(records.statements, records.codes, records.classes["superdiagnostic"])
    kept = np.flatnonzero(labels.any(axis=1))  # the task of PTB-XL leaves the others out
    own = [
        {"file": write(tmp_path / f"x{k}", ptbxl.read(int(records.ecg_id[k]), 100), 100),
         "person": records.patient_id[k], "part": records.fold[k],
         **dict(zip(names, labels[k].astype(int), strict=True))}
        for k in kept
    ]  # fmt: skip
    write_rows(tmp_path / "mine.csv", own)
    columns = Columns(path="file", patient="person", fold="part", labels=names)
    mine = table(tmp_path, table="mine.csv", columns=columns)
    theirs = load_task(open_cohort(prepare(ptbxl, cache_dir=tmp_path / "a")), "superdiagnostic")
    ours = load_task(open_cohort(prepare(mine, cache_dir=tmp_path / "b")), "labels")
    assert ours.classes == theirs.classes
    for split in ("train", "val"):
        one, other = getattr(ours, f"{split}_rows"), getattr(theirs, f"{split}_rows")
        assert np.array_equal(ours.signals[one].view(np.uint16), theirs.signals[other].view(np.uint16))
        for name in ("labels", "patients"):
            assert np.array_equal(getattr(ours, f"{split}_{name}"), getattr(theirs, f"{split}_{name}"))


def test_records_without_any_label_count(folder: Path, tmp_path: Path) -> None:
    cohort = open_cohort(prepare(table(folder), cache_dir=tmp_path))
    data = load_task(cohort, "labels")
    assert len(data.train_rows) + len(data.val_rows) == cohort.n_open
    assert not data.train_labels.any(axis=1).all()


def test_folds_are_made_by_patient_by_seed_and_evenly(folder: Path) -> None:
    records = table(folder).records()
    assert sorted(set(records.fold.tolist())) == list(range(1, 11))
    for patient in np.unique(records.patient_id):
        assert len(np.unique(records.fold[records.patient_id == patient])) == 1
    n_positive = [records.statements[records.fold == fold, 0].sum() for fold in range(1, 11)]
    assert max(n_positive) - min(n_positive) <= 2
    assert np.array_equal(table(folder).records().fold, records.fold)
    assert not np.array_equal(table(folder, seed=1).records().fold, records.fold)


def test_made_folds_are_kept_with_the_cohort(folder: Path, tmp_path: Path) -> None:
    source = table(folder)
    cohort, folds = open_cohort(prepare(source, cache_dir=tmp_path)), source.folds()
    assert {ecg_id: int(fold) for ecg_id, fold in zip(cohort.ecg_id.tolist(), cohort.fold, strict=True)} == folds


@pytest.mark.parametrize("form", ["list", "parquet", "text", "blanks"])
def test_labels_in_one_column_or_as_programs_write_them(folder: Path, form: str) -> None:
    expected = table(folder).records()
    given = rows()
    columns, name = Columns(labels=LABELS), f"other_{form}.csv"
    if form == "list":
        given = [
            {"path": r["path"], "patient": r["patient"], "labels": ";".join(k for k in LABELS if r[k])} for r in given
        ]
        columns = Columns()
    elif form == "text":
        given = [{**r, "AFIB": ("False", "TRUE")[r["AFIB"]], "NORM": f"{r['NORM']}.0"} for r in given]
    elif form == "blanks":
        given = [{f" {key} ": f" {value} " for key, value in r.items()} for r in given]
    write_rows(folder / name, given)
    if form == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        name = "other.parquet"
        parquet.write_table(pa.Table.from_pylist(given), folder / name)
    records = table(folder, table=name, columns=columns).records()
    assert np.array_equal(records.statements, expected.statements)
    assert np.array_equal(records.fold, expected.fold)


def edited(change: Callable[[list[Row]], object]) -> list[Row]:
    given = rows()
    change(given)
    return given


def every(key: str, value: Any) -> Callable[[list[Row]], object]:
    return lambda given: [row.update({key: value}) for row in given]


BAD = {
    "a cell of text": (lambda g: g[3].update(AFIB="yes"), "labels", r"line 5 has AFIB = 'yes'; expected 0 or 1"),
    "an empty label": (lambda g: g[3].update(AFIB=""), "labels", r"line 5 has AFIB = ''; expected 0 or 1"),
    "a class of one value": (every("NORM", 0), "class of one value", r"class 'NORM' is 0 in all 60 records"),
    "a class that all have": (every("NORM", 1), "class of one value", r"class 'NORM' is 1 in all 60 records"),
    "a file twice": (
        lambda g: g[3].update(path="./r3.npy"), "duplicate",
        r"line 5 has path = './r3.npy'; expected a file of its own, line 4"),
    "a path that leaves": (
        lambda g: g[3].update(path="../r4.npy"), "path", r"line 5 has path = '../r4.npy'; expected a path within"),
    "an absolute path": (lambda g: g[3].update(path="/etc/passwd"), "path", r"expected a path within the table"),
    "no patient": (lambda g: g[3].update(patient=""), "patients", r"line 5 has patient = ''; .* cannot be excluded"),
    "a patient in two folds": (
        lambda g: [row.update(fold=1 + n % 10) for n, row in enumerate(g)], "patient in two folds",
        r"records 2, 3 of one patient are in folds 2, 3"),
    "a fold beyond ten": (
        lambda g: [row.update(fold=11 if n == 3 else 1 + (n + 1) // 2 % 10) for n, row in enumerate(g)], "folds",
        r"line 5 has fold = '11'; expected 1 to 10"),
    "no test fold": (every("fold", 1), "empty split", r"no record for test \(fold 10\)"),
    "an identifier twice": (
        lambda g: [row.update(record=n // 2 * 2 if n == 3 else n) for n, row in enumerate(g)], "identifiers",
        r"line 5 has record = '2'; expected a number of its own, line 4 has it"),
    "a missing file": (lambda g: g[3].update(path="nowhere.npy"), "damage", r"record 4: .*nowhere.npy: cannot be read"),
    "another format": (lambda g: g[3].update(path="a.docx"), "missing or unknown file", r"a.docx: is no record"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(folder: Path, home: Path, name: str) -> None:
    change, kind, message = BAD[name]
    write_rows(folder / "bad.csv", edited(change))
    checked = check(table(folder, table="bad.csv"))
    assert checked.folder is None
    fatal = [one for one in checked.findings if one.is_fatal]
    assert kind in {one.kind for one in fatal}
    assert any(re.search(message, one.text) for one in fatal), [one.text for one in fatal]
    assert not list(home.rglob("meta.json"))
    with pytest.raises(DataError):
        prepare(table(folder, table="bad.csv"))


def test_everything_is_said_at_once_by_kind(folder: Path, home: Path) -> None:
    given = rows()
    given[1]["AFIB"] = "maybe"
    given[5]["path"] = "nowhere.npy"
    short = folder / "short.npy"
    np.save(short, np.load(folder / "r9.npy")[:, :700])
    given[8]["path"] = short.name
    write_rows(folder / "several.csv", given)
    checked = check(table(folder, table="several.csv"))
    assert {one.kind for one in checked.findings if one.is_fatal} == {"labels", "damage", "length"}
    assert checked.folder is None
    assert not home.exists() or not list(home.rglob("signals.npy"))


def test_damage_alone_is_collected_or_left_out(folder: Path, home: Path) -> None:
    given = rows()
    given[4]["path"], given[5]["path"] = "nowhere.npy", "gone.npy"
    write_rows(folder / "gone.csv", given)
    source = table(folder, table="gone.csv")
    assert [one.kind for one in check(source).findings if one.is_fatal] == ["damage", "damage"]
    with pytest.raises(DataFindings, match=r"record 5: .*nowhere.npy.* \(and 1 more: `ablate data check` lists them\)"):
        prepare(source, damaged="collect")
    kept = check(source, skip_damaged=True)
    assert kept.folder is not None
    assert sorted(open_cohort(kept.folder).skipped) == [5, 6]


def test_a_long_gap_is_left_out_and_counted_where_that_is_declared(folder: Path, home: Path) -> None:
    gappy = np.load(folder / "r7.npy")
    gappy[2, 100:200] = np.nan
    np.save(folder / "gappy.npy", gappy)
    given = rows()
    given[6]["path"] = "gappy.npy"
    write_rows(folder / "gappy.csv", given)
    source = table(folder, table="gappy.csv", form=Form(rates_hz=100, longest_gap_s=0.5))
    checked = check(source)
    assert checked.folder is not None
    cohort = open_cohort(checked.folder)
    assert list(cohort.skipped) == [7]
    assert "III has no value for 1 s from 1 s on" in cohort.skipped[7]
    assert len(cohort.ecg_id) == N - 1


def test_mixed_rates_need_a_rule(folder: Path, home: Path, tmp_path: Path) -> None:
    source = Synthetic(N, 5)
    for number in range(1, N + 1):
        write_wfdb(tmp_path / f"r{number}", source.read(number, rate := 500 if number % 3 else 100), rate)
    write_rows(tmp_path / "records.csv", [{**row, "path": row["path"].removesuffix(".npy")} for row in rows()])
    mixed = table(tmp_path, form=Form())
    with pytest.raises(
        DataError, match=r"records are 20 of 100 Hz, 40 of 500 Hz; .* data.form.rates_hz = \[100, 500\]"
    ):
        prepare(mixed)
    cohort = open_cohort(prepare(replace(mixed, form=Form(rates_hz=(100, 500)))))
    assert cohort.changes == {"resampled from 500 Hz": 40}
    assert cohort.resampled_from_hz is None


def test_the_same_samples_under_two_names_in_two_folds_are_a_leak(folder: Path, home: Path) -> None:
    (folder / "copy.npy").write_bytes((folder / "r20.npy").read_bytes())
    given = rows()
    for number, row in enumerate(given, start=1):
        row["fold"] = 1 + number // 2 % 10
    given[2]["path"] = "copy.npy"
    write_rows(folder / "copies.csv", given)
    with pytest.raises(DataError, match=r"records 3, 20 have the same samples; keep one of them"):
        prepare(table(folder, table="copies.csv"))


def test_few_positives_are_known_before_anything_trains(folder: Path, home: Path) -> None:
    given = rows()
    for number, row in enumerate(given):
        row["NORM"] = int(number % 20 == 0)
    write_rows(folder / "few.csv", given)
    cohort = open_cohort(prepare(table(folder, table="few.csv")))
    assert cohort.notes == (
        f"{folder}/few.csv: class 'NORM' has 3 positives in 60 records; with fewer than 10 its score says little",
    )


def test_without_patients_a_table_is_refused_unless_that_is_declared(folder: Path, home: Path) -> None:
    write_rows(folder / "nobody.csv", [{key: v for key, v in row.items() if key != "patient"} for row in rows()])
    with pytest.raises(DataError, match=r"no column 'patient' .* leaks cannot be excluded: where no patient has two"):
        table(folder, table="nobody.csv").records()
    declared = table(folder, table="nobody.csv", columns=Columns(labels=LABELS, one_record_each=True))
    assert len(set(declared.records().patient_id.tolist())) == N


def test_all_columns_that_are_missing_are_said_at_once(folder: Path) -> None:
    columns = Columns(path="file", patient="person", labels=("AFIB", "LBBB"))
    with pytest.raises(
        DataError, match=r"no column 'file' .*, 'person' .*, 'LBBB' .*; the first line has path, patient"
    ):
        table(folder, columns=columns).records()


def test_labels_are_joined_to_classes_by_a_mapping(folder: Path) -> None:
    (folder / "classes.csv").write_text("statement,class\nAFIB,arrhythmia\nVPC,arrhythmia\n")
    records = table(folder, mapping="classes.csv").records()
    assert records.classes == {"labels": {"AFIB": "arrhythmia"}}


def test_nothing_about_a_folder_depends_on_where_it_lies(folder: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    one, other = (open_cohort(prepare(table(each), cache_dir=tmp_path / each.name)) for each in (folder, moved))
    assert one.digest == other.digest


def test_swapped_leads_are_found(folder: Path, home: Path) -> None:
    swapped = np.load(folder / "r11.npy")
    swapped[[0, 1]] = swapped[[1, 0]]
    np.save(folder / "swapped.npy", swapped)
    given = rows()
    given[10]["path"] = "swapped.npy"
    write_rows(folder / "swapped.csv", given)
    cohort = open_cohort(prepare(table(folder, table="swapped.csv")))
    assert "I + III = II" in cohort.odd_leads[11]


def test_the_command_says_what_is_wrong_and_what_was_prepared(folder: Path, home: Path) -> None:
    from typer.testing import CliRunner

    from ablate.cli.main import app

    options = ["--set", 'columns.labels=["AFIB", "NORM"]', "--set", "form.rates_hz=100", "--json"]
    done = CliRunner().invoke(app, ["data", "check", str(folder / "records.csv"), *options])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["records"], facts["patients"], facts["findings"]) == (N, 31, [])
    assert Path(facts["folder"]).is_dir()
    done = CliRunner().invoke(app, ["data", "check", str(folder / "records.csv"), *options[:2]])
    assert done.exit_code == 3
    assert "60 problems in 60 records; nothing was prepared" in done.stdout
    assert "rate: 60" in done.stdout
    assert "and 57 more; --json lists all" in done.stdout


def test_what_should_be_known_of_records_is_said_before_anything_trains(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ablate.cli.run import prepare_records
    from ablate.study.file import load_spec

    given = rows()
    for number, row in enumerate(given):
        row["NORM"] = int(number % 20 == 0)
    write_rows(folder / "known.csv", given)
    monkeypatch.setenv("ABLATE_DATA", str(folder))
    keys = ["table=known.csv", "columns.path=path", "columns.patient=patient", 'columns.labels=["AFIB", "NORM"]']
    spec = load_spec("own_table", overrides=[f"data.{key}" for key in (*keys, "form.unit=mV")])
    prepare_records(spec, quiet=False)
    assert "note: " in (said := capsys.readouterr().err)
    assert "class 'NORM' has 3 positives in 60 records" in said
