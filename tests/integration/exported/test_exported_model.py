"""An exported model gives the probabilities of the training that it left, and refuses what it is not made for."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from exported_study import N_RECORDS, SEED, Train

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.errors import AblateError, CheckpointError, DataError
from ablate.exported.model import load_model
from ablate.exported.prediction import predict_source
from ablate.model.checkpoint import read_checkpoint
from ablate.outcome import Outcome
from ablate.stats.metrics import both_outcomes
from ablate.stats.threshold import best_thresholds
from ablate.train.params import Params

OWN_ENCODER = Path(__file__).parents[3] / "docs" / "own_encoder.py"


def agree(outcome: Outcome, folder: Path, **view: object) -> None:
    """The folder's model predicts what the trial scored, on the validation and on the test fold."""
    model = load_model(folder)
    source = Synthetic(n_records=N_RECORDS, seed=SEED)
    cohort = open_cohort(prepare(source, **view))  # type: ignore[arg-type]
    predicted = predict_source(model, source)
    assert predicted.record.tolist() == sorted(cohort.ecg_id.tolist())
    place = {number: row for row, number in enumerate(predicted.record.tolist())}
    task = load_task(cohort, "superdiagnostic", permit=Permit(study="s", slot="1"))
    for rows, scored in ((task.val_rows, outcome.val_probabilities), (task.test_rows, outcome.test_probabilities)):
        if scored is None:  # a training that had no permit
            continue
        at = [place[number] for number in cohort.ecg_id[rows].tolist()]
        np.testing.assert_allclose(predicted.probabilities[at], scored, rtol=0, atol=1e-6)


def test_a_fine_tuned_network_predicts_what_its_trial_scored(tuned: tuple[Outcome, Path]) -> None:
    agree(*tuned)


@pytest.mark.parametrize("is_open", [True, False])
def test_so_does_the_best_epoch_where_it_is_not_the_last(train: Train, *, is_open: bool) -> None:
    outcome, folder = train(Params(ft_epochs=4, ft_lr=3e-2, batch_size=16), is_open=is_open)
    assert outcome.best_epoch < 4
    agree(outcome, folder)


def test_so_does_a_probe_alone(train: Train) -> None:
    agree(*train(Params(probe_epochs=3, ft_epochs=0, batch_size=32)))


def test_so_does_one_of_windows_leads_and_filtered_records(train: Train) -> None:
    view = {"leads": ("V5", *(f"V{n}" for n in (1, 2, 3, 4, 6)), "I", "II", "III", "aVR", "aVL", "aVF"),
            "preprocessing": "ecgfounder"}  # fmt: skip
    agree(*train(Params(ft_epochs=1, batch_size=32), window_s=2.5, **view), **view)


def test_signals_are_prepared_as_in_training(tuned: tuple[Outcome, Path]) -> None:
    model, source = load_model(tuned[1]), Synthetic(n_records=N_RECORDS, seed=SEED)
    wanted = predict_source(model, source)
    signals = np.stack([source.read(number, 100) for number in wanted.record[:5].tolist()])
    np.testing.assert_allclose(model.predict(signals), wanted.probabilities[:5], rtol=0, atol=1e-6)
    resampled = model.predict(np.stack([source.read(number, 500) for number in wanted.record[:2].tolist()]), fs_hz=500)
    np.testing.assert_allclose(resampled, wanted.probabilities[:2], atol=0.05)  # by another filter than the source's
    assert model.predict(signals[:0]).shape == (0, 5)


def test_thresholds_come_from_the_validation_fold(tuned: tuple[Outcome, Path]) -> None:
    outcome, folder = tuned
    task = load_task(open_cohort(prepare(Synthetic(n_records=N_RECORDS, seed=SEED))), "superdiagnostic")
    wanted = dict(zip(task.classes, best_thresholds(task.val_labels, outcome.val_probabilities), strict=True))
    assert load_model(folder).manifest.thresholds == wanted
    assert any(value is not None for value in wanted.values())
    assert [value is not None for value in wanted.values()] == both_outcomes(task.val_labels).tolist()


def test_weights_have_the_names_of_the_network(tuned: tuple[Outcome, Path]) -> None:
    """So that they can begin another study: weights = { file, strip = "encoder.", head = "head." }."""
    names = set(read_checkpoint(tuned[1] / "weights.safetensors"))  # type: ignore[call-overload]
    assert {"head.weight", "head.bias"} < names
    assert all(name.startswith(("encoder.", "head.")) for name in names)


def test_code_of_a_folder_runs_only_where_it_is_named(train: Train, tmp_path: Path) -> None:
    outcome, folder = train(Params(ft_epochs=1, batch_size=64), encoder=f"{OWN_ENCODER}:make")
    with pytest.raises(CheckpointError, match="somebody's own code, which is not run by itself"):
        load_model(folder)
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(re.sub(r'"source": "\w{64}"', '"source": null', text))
    with pytest.raises(CheckpointError, match="which is not run by itself"):
        load_model(folder)
    (folder / "model.json").write_text(text)
    other = tmp_path / "own_encoder.py"
    other.write_text(OWN_ENCODER.read_text() + "# edited\n")
    with pytest.raises(CheckpointError, match="not the code that the weights were trained with"):
        load_model(folder, encoder=f"{other}:make")
    model = load_model(folder, encoder=f"{folder / 'own_encoder.py'}:make")
    cohort = open_cohort(prepare(Synthetic(n_records=N_RECORDS, seed=SEED)))
    task = load_task(cohort, "superdiagnostic")
    given = model.predict_prepared(cohort.signals[task.val_rows])
    np.testing.assert_allclose(given, outcome.val_probabilities, rtol=0, atol=1e-6)


def damaged(folder: Path, tmp_path: Path, file: str, content: bytes | None) -> Path:
    """A copy of the folder in which one file has another content, or is missing."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_bytes(content)
    return copy


@pytest.mark.parametrize(
    ("file", "edit", "says"),
    [
        ("weights.safetensors", lambda old: old[:-1] + bytes([old[-1] ^ 1]), "damaged, its SHA-256 begins with"),
        ("weights.safetensors", lambda old: old[:1000], "damaged, its SHA-256 begins with"),
        ("weights.safetensors", lambda old: None, "weights.safetensors: cannot be read (No such file"),
        ("model.json", lambda old: None, "expected a folder that `ablate export` wrote"),
        ("model.json", lambda old: old[:-20], "model.json: damaged, it is not JSON"),
        ("model.json", lambda old: b"[]", "version None; this ablate reads version 1"),
        ("model.json", lambda old: old.replace(b'"version": 1', b'"version": 2'), "version 2; this ablate reads"),
        ("model.json", lambda old: old.replace(b'"fs_hz": 100', b'"fs_hz": "x"'), "records.fs_hz: "),
        ("model.json", lambda old: old.replace(b'"ft_epochs": 2', b'"ft_epochs": -2'), "params.ft_epochs = -2"),
        ("model.json", lambda old: old.replace(b'   "aVF",\n', b""), "the records have n_leads = 11"),
        ("model.json", lambda old: old.replace(b'"classes"', b'"klasses"'), "model.json: classes: Field required"),
        ("model.json", lambda old: old.replace(b"net1d_small", b"net1d_smal"), "expected one of net1d_small"),
        ("model.json", lambda old: old.replace(b"net1d_small", b"vit_small"), "keys do not fit the encoder"),
        (
            "model.json",
            lambda old: old.replace(b'"preprocessing_version": 1', b'"preprocessing_version": 9'),
            "records.preprocessing_version = 9; this ablate computes version 1",
        ),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_in_one_line(
    tuned: tuple[Outcome, Path], tmp_path: Path, file: str, edit: object, says: str
) -> None:
    content = edit((tuned[1] / file).read_bytes())  # type: ignore[operator]
    with pytest.raises(AblateError) as raised:
        load_model(damaged(tuned[1], tmp_path, file, content))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((2, 8, 1000), "expected (records, 12, 1000): leads I II III aVR"),
        ((2, 12, 5000), "10 s at 100 Hz"),
        ((12, 1000), "signals have the shape (12, 1000)"),
    ],
)
def test_signals_of_another_form_are_refused(tuned: tuple[Outcome, Path], shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(DataError) as raised:
        load_model(tuned[1]).predict(np.zeros(shape))
    assert says in str(raised.value)


def test_signals_with_gaps_are_refused(tuned: tuple[Outcome, Path]) -> None:
    with pytest.raises(DataError, match="not finite"):
        load_model(tuned[1]).predict(np.full((1, 12, 1000), np.nan))


def test_the_manifest_is_for_programs(tuned: tuple[Outcome, Path]) -> None:
    document = json.loads((tuned[1] / "model.json").read_text())
    assert document["version"] == 1
    assert document["scores"]["test_auroc"] == tuned[0].scores["test_auroc"]
