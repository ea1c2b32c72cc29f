"""The role of a source: every cohort of records keeps the same promises."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from wfdb_folder import write_ptbxl

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.source import DURATION_S, LEADS, RATES_HZ, Source, check_folds
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.task import TASKS
from ablate.errors import DataError

Make = Callable[[], Source]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ptbxl(tmp_path_factory.mktemp("source") / "ptbxl")


@pytest.fixture(scope="module", params=["synthetic", "ptbxl"])
def make(request: pytest.FixtureRequest, folder: Path) -> Make:
    """A new value of the source, each time it is called."""
    return {"synthetic": lambda: Synthetic(n_records=40, seed=5), "ptbxl": lambda: PtbXl(folder)}[request.param]


def test_metadata_are_one_row_for_each_record(make: Make) -> None:
    records = make().records()
    n = len(records.ecg_id)
    assert n == len(records.patient_id) == len(records.fold) == len(records.statements) > 0
    assert records.statements.shape == (n, len(records.codes))
    assert records.statements.dtype == bool
    assert records.statements.any()
    assert list(records.codes) == sorted(set(records.codes))
    check_folds("here", records.ecg_id, records.patient_id, records.fold)


def test_every_task_has_classes_of_statements_that_there_are(make: Make) -> None:
    records = make().records()
    assert tuple(records.classes) == TASKS
    assert all(set(classes) <= set(records.codes) for classes in records.classes.values())
    assert all(records.classes[task] for task in ("all", "diagnostic", "superdiagnostic"))


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_a_record_is_twelve_leads_of_ten_seconds_in_millivolts(make: Make, fs_hz: int) -> None:
    source = make()
    stored_hz = source.stored_hz(fs_hz)
    signal = source.read(int(source.records().ecg_id[0]), stored_hz)
    assert signal.shape == (len(LEADS), stored_hz * DURATION_S)
    assert signal.dtype == np.float32
    assert np.isfinite(signal).all()
    assert 0.1 < np.abs(signal).max() < 10
    one, two, three = (signal[LEADS.index(lead)] for lead in ("I", "II", "III"))
    assert np.allclose(one + three, two, atol=0.005)  # Einthoven's identity: leads are in order and of one scale


def test_another_process_reads_the_same(make: Make) -> None:
    source = make()
    travelled = pickle.loads(pickle.dumps(source))
    ecg_id = int(source.records().ecg_id[-1])
    assert np.array_equal(travelled.read(ecg_id, 100), source.read(ecg_id, 100))
    assert (travelled.digest(), travelled.identity()) == (source.digest(), source.identity())


def test_digests_are_those_of_the_content_and_not_of_the_value(make: Make) -> None:
    one, other = make(), make()
    assert (one.digest(), one.identity()) == (other.digest(), other.identity())
    assert (one.digest() != one.identity()) == one.reads_files  # files may change while tables do not


def test_a_record_that_is_not_there_is_an_error(make: Make) -> None:
    with pytest.raises(DataError, match="999999"):
        make().read(999999, 100)


def test_it_can_be_prepared(make: Make, tmp_path: Path) -> None:
    source = make()
    cohort = open_cohort(prepare(source, cache_dir=tmp_path))
    assert cohort.source == source.name
    assert sorted(cohort.ecg_id.tolist()) == sorted(source.records().ecg_id.tolist())
