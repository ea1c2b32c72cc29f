"""An external test set: records of another collection are scored after the seal, and change nothing else."""

from pathlib import Path

import numpy as np
import pytest

from ablate.ecg.cohort import Cohort
from ablate.ecg.example import write_example
from ablate.ecg.form import Form
from ablate.ecg.joint import Joint
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.record_table import Columns, RecordTable
from ablate.ecg.seal import Permit
from ablate.ecg.source import EXTERNAL_OFFSET, Source
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.errors import DataError
from ablate.model.encoder import EncoderSpec
from ablate.outcome import Outcome
from ablate.stats.metrics import macro_auroc
from ablate.store.result import artifacts_of
from ablate.train.params import Params
from ablate.train.routine import post_train

LABELS = ("CD", "HYP", "MI", "NORM", "STTC")
PERMIT = Permit(study="s", slot="1")
PARAMS = Params(probe_epochs=1, ft_epochs=1, batch_size=32)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> RecordTable:
    """Thirty records of another place, of which no fold is asked."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_example(folder, n_records=30, seed=9)
    columns = Columns(path="file", patient="person", labels=LABELS)
    return RecordTable(folder, Form(rates_hz=100, unit="uV"), columns=columns, for_test_only=True)


@pytest.fixture(scope="module")
def joint(elsewhere: Source, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    source = Joint(Synthetic(n_records=200, seed=1), elsewhere, "superdiagnostic")
    return open_cohort(prepare(source, cache_dir=tmp_path_factory.mktemp("joint")))


@pytest.fixture(scope="module")
def with_external(joint: Cohort) -> TaskData:
    return load_task(joint, "superdiagnostic", permit=PERMIT)


@pytest.fixture(scope="module")
def outcome(spec: EncoderSpec, with_external: TaskData) -> Outcome:
    return post_train(spec, with_external, PARAMS, seed=3)


def test_without_a_permit_nothing_of_it_is_there(joint: Cohort, cohort: Cohort) -> None:
    sealed = load_task(joint, "superdiagnostic")
    assert sealed.external is None
    assert joint.n_open == cohort.n_open == len(sealed.signals)
    assert not joint.statements[joint.n_open :].any()


def test_its_records_are_those_of_the_other_collection(
    joint: Cohort, with_external: TaskData, elsewhere: RecordTable, tmp_path: Path
) -> None:
    alone = open_cohort(prepare(elsewhere, cache_dir=tmp_path))
    external, records = with_external.external, elsewhere.records()
    assert external is not None
    own = joint.ecg_id[external.rows] - EXTERNAL_OFFSET
    assert own.tolist() == records.ecg_id[records.statements.any(axis=1)].tolist()
    assert np.array_equal(external.labels, records.statements[own - 1])
    at = np.array([np.flatnonzero(alone.ecg_id == each)[0] for each in own])
    assert np.array_equal(joint.signals[external.rows].view(np.uint16), alone.signals[at].view(np.uint16))
    assert not set(external.rows.tolist()) & set(with_external.test_rows.tolist())


def test_it_is_scored_and_changes_nothing_else(
    spec: EncoderSpec, open_data: TaskData, with_external: TaskData, outcome: Outcome
) -> None:
    alone = post_train(spec, open_data, PARAMS, seed=3)
    assert alone.external_probabilities is None
    for split in ("val", "test"):
        assert np.array_equal(outcome.probabilities[split], alone.probabilities[split])
    assert {name: score for name, score in outcome.scores.items() if not name.startswith("external")} == alone.scores
    external, probabilities = with_external.external, outcome.external_probabilities
    assert external is not None
    assert probabilities is not None
    assert probabilities.shape == external.labels.shape
    assert outcome.scores["external_auroc"] == macro_auroc(external.labels, probabilities)
    assert set(artifacts_of(outcome)) == {"val.npz", "test.npz", "external.npz"}


def test_it_survives_the_way_to_the_store(outcome: Outcome) -> None:
    again = Outcome.from_document(outcome.document(), outcome.probabilities)
    assert again.external_probabilities is not None
    assert np.array_equal(again.external_probabilities, outcome.probabilities["external"])
    assert again.scores == outcome.scores


def test_a_class_that_the_study_has_not_is_one_line(elsewhere: RecordTable) -> None:
    (elsewhere.folder / "other.csv").write_text("statement,class\nMI,infarction\n")
    mapped = RecordTable(
        elsewhere.folder, elsewhere.form, mapping="other.csv", columns=elsewhere.columns, for_test_only=True
    )
    with pytest.raises(
        DataError, match=r"class 'infarction' of the external records is none of CD, HYP, MI, NORM, STTC"
    ):
        Joint(Synthetic(n_records=200, seed=1), mapped, "superdiagnostic").records()
