"""The real PTB-XL v1.0.3, in the folder that ABLATE_TEST_PTBXL names."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from ablate.ecg.cohort import Cohort
from ablate.ecg.label_count import count_tasks
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.record import _read_by_wfdb, read_record
from ablate.ecg.seal import Permit
from ablate.ecg.split import fraction, load_task, lost_classes

pytestmark = [
    pytest.mark.ptbxl,
    pytest.mark.skipif("ABLATE_TEST_PTBXL" not in os.environ, reason="ABLATE_TEST_PTBXL names no folder of PTB-XL"),
]

# task: classes, train, validation, test, test positives min / median / max
PUBLISHED = {
    "all": (71, 17418, 2183, 2198, 1, 22, 1674),
    "diagnostic": (44, 17084, 2146, 2158, 1, 18, 963),
    "subdiagnostic": (23, 17084, 2146, 2158, 2, 77, 963),
    "superdiagnostic": (5, 17084, 2146, 2158, 262, 521, 963),
    "form": (19, 7197, 901, 880, 1, 40, 322),
    "rhythm": (12, 16832, 2100, 2098, 2, 21, 1674),
}


@pytest.fixture(scope="module")
def source() -> PtbXl:
    return PtbXl(Path(os.environ["ABLATE_TEST_PTBXL"]))


@pytest.fixture(scope="module")
def cohort(source: PtbXl, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return open_cohort(prepare(source, cache_dir=tmp_path_factory.mktemp("arrays"), n_processes=2))


def test_task_counts_are_the_published_ones(source: PtbXl) -> None:
    rows = {row.task: row for row in count_tasks(source.records())}
    found = {
        task: (row.classes, row.train, row.val, row.test, row.test_positives_min, row.test_positives_median,
               row.test_positives_max)
        for task, row in rows.items()
    }  # fmt: skip
    assert found == PUBLISHED


def test_records_and_patients_are_the_published_ones(source: PtbXl) -> None:
    records = source.records()
    assert len(records.ecg_id) == 21799
    assert len(np.unique(records.patient_id)) == 18869


@pytest.mark.parametrize("task", PUBLISHED)
def test_prepared_tasks_have_the_published_counts(cohort: Cohort, task: str) -> None:
    data = load_task(cohort, task, permit=Permit("test", "reference"))
    positives = data.test_labels.sum(axis=0)
    rows = (len(data.train_rows), len(data.val_rows), len(data.test_rows))
    assert (len(data.classes), *rows, positives.min(), np.median(positives), positives.max()) == PUBLISHED[task]


def test_the_one_flat_lead_is_noted_and_nothing_is_left_out(cohort: Cohort) -> None:
    assert cohort.flat_leads == {12722: ("V5",)}
    assert cohort.skipped == {}


def test_limb_leads_contradict_each_other_in_a_few_records(cohort: Cohort) -> None:
    assert len(cohort.odd_leads) == 15
    assert {2166, 14854, 18767} <= set(cohort.odd_leads)
    assert cohort.odd_leads[18767] == ("I + III = II", "aVR + aVL + aVF = 0")


def test_prepared_signals_are_scaled(cohort: Cohort) -> None:
    rows = np.asarray(cohort.signals[::500], np.float32)
    assert np.isfinite(rows).all()
    assert np.abs(rows.mean(axis=(1, 2))).max() < 1e-3
    assert np.abs(rows.std(axis=(1, 2)) - 1).max() < 2e-3


@pytest.mark.parametrize(("fs_hz", "column"), [(100, "filename_lr"), (500, "filename_hr")])
def test_plain_reading_is_what_wfdb_reads(source: PtbXl, fs_hz: int, column: str) -> None:
    import_wfdb_quietly()
    from wfdb import rdrecord

    stems = [source.folder / row[column] for row in source._table.rows[:: 350 if fs_hz == 100 else 1]]
    there = [stem for stem in stems if stem.with_suffix(".dat").exists()][:60]
    assert len(there) >= 50
    for stem in there:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = rdrecord(str(stem)).p_signal.T.astype(np.float32)
        assert np.array_equal(read_record(stem, fs_hz=fs_hz), expected)
        header = stem.with_suffix(".hea")
        order, signal = _read_by_wfdb(header, header.read_bytes(), fs_hz)
        assert np.array_equal(signal[order], expected)


def test_a_tenth_loses_few_classes_and_keeps_the_rates(cohort: Cohort) -> None:
    data = load_task(cohort, "all")
    whole = data.train_labels.sum(axis=0) * 0.1
    n_lost, errors = [], []
    for seed in range(5):
        positions = fraction(data, data_fraction=0.1, seed=seed)
        assert abs(len(positions) - 1742) <= 5
        n_lost.append(len(lost_classes(data, positions)))
        errors.append(np.abs(data.train_labels[positions].sum(axis=0) - whole).mean())
    assert np.mean(n_lost) <= 2  # 3 in a random tenth
    assert np.mean(errors) < 2.5  # 5.2 positives in a random tenth of the patients


def import_wfdb_quietly() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb  # noqa: F401
