"""Real records as somebody's own: those of other collections, and PTB-XL told by a table."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from record_files import write_npy, write_rows, write_wfdb

from ablate.ecg.form import Form
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.preprocessing import resample
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.record_table import Columns, RecordTable
from ablate.ecg.recording import read_recording
from ablate.ecg.source import LEADS
from ablate.ecg.task import class_labels
from ablate.ecg.ten_seconds import to_ten_seconds

has_ptbxl = pytest.mark.skipif("ABLATE_TEST_PTBXL" not in os.environ, reason="ABLATE_TEST_PTBXL names no PTB-XL")
has_records = pytest.mark.skipif(
    "ABLATE_TEST_RECORDS" not in os.environ, reason="ABLATE_TEST_RECORDS names no folder of Georgia, Ningbo and PTB"
)
NAMES = ("E07500", "E07501", "JS20000", "JS20001", "s0010_re")


@has_records
@pytest.mark.parametrize("name", NAMES)
def test_records_of_other_collections_are_those_that_wfdb_reads(name: str) -> None:
    path = Path(os.environ["ABLATE_TEST_RECORDS"]) / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
        import wfdb

        record = wfdb.rdrecord(str(path))
    own = [lead.upper() for lead in record.sig_name]
    theirs = record.p_signal.T[[own.index(lead.upper()) for lead in LEADS], : 10 * record.fs]
    form = Form(rates_hz="any", length="crop")
    recording = read_recording(path, form)
    for fs_hz in (100, 500):
        signal = to_ten_seconds(recording, form, fs_hz=fs_hz).signal
        expected = resample(theirs.astype(np.float32), from_hz=record.fs, fs_hz=fs_hz)
        assert signal.shape == (12, 10 * fs_hz)
        assert np.abs(signal - expected).max() < 1e-6


@has_ptbxl
@pytest.mark.ptbxl
@pytest.mark.parametrize("write", [write_npy, write_wfdb], ids=lambda write: write.__name__)
def test_500_records_of_ptbxl_have_the_same_bits_by_a_table(
    tmp_path: Path, write: Callable[[Path, np.ndarray, int], str]
) -> None:
    ptbxl = PtbXl(Path(os.environ["ABLATE_TEST_PTBXL"]))
    records = ptbxl.records()
    names, labels = class_labels(records.statements, records.codes, records.classes["superdiagnostic"])
    labelled = np.flatnonzero(labels.any(axis=1))
    chosen = np.sort(np.random.default_rng(0).permutation(labelled)[:500])
    own, expected = [], []
    for row in chosen:
        signal = ptbxl.read(int(records.ecg_id[row]), 100)
        file = write(tmp_path / f"x{row}", signal, 100)
        flags = dict(zip(names, labels[row].astype(int), strict=True))
        own.append({"file": file, "person": records.patient_id[row], "part": records.fold[row], **flags})
        expected.append(signal)
    write_rows(tmp_path / "mine.csv", own)
    columns = Columns(path="file", patient="person", fold="part", labels=names)
    table = RecordTable(tmp_path, Form(rates_hz=100), table="mine.csv", columns=columns)
    for number, signal in enumerate(expected, start=1):
        assert np.array_equal(table.read(number, 100).view(np.uint32), signal.view(np.uint32))
    cohort = open_cohort(prepare(table, cache_dir=tmp_path / "arrays"))
    assert np.array_equal(cohort.fold[np.argsort(cohort.ecg_id)], records.fold[chosen])
