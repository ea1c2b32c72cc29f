"""Predictions for own tables and other sources: declared as in training, or refused in one line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablate.ecg.example import write_example
from ablate.ecg.source import Source
from ablate.ecg.synthetic import Synthetic
from ablate.errors import AblateError, DataError, OptionError
from ablate.exported.manifest import Manifest
from ablate.exported.model import ExportedModel, load_model
from ablate.exported.prediction import Predictions, predict_source, records_of
from ablate.exported.table import check_suffix, write_table
from ablate.outcome import Outcome

OURS = ("form.rates_hz=100", "form.unit=uV", "columns.path=file")
N_OWN = 12


@pytest.fixture(scope="module")
def model(tuned: tuple[Outcome, Path]) -> ExportedModel:
    return load_model(tuned[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of somebody's own, and tables that name them: with labels, and with nothing but paths."""
    folder = tmp_path_factory.mktemp("own")
    write_example(folder, n_records=N_OWN, seed=9)
    table = pd.read_csv(folder / "records.csv")
    table[["file"]].iloc[::-1].to_csv(folder / "bare.csv", index=False)
    table[["file"]].assign(number=np.arange(N_OWN) * 10).to_parquet(folder / "bare.parquet", index=False)
    return folder


def trained_on_a_table(model: ExportedModel) -> Manifest:
    data = {"source": "table", "table": "old.csv", "task": "labels", "form": {"rates_hz": 100, "unit": "uV"},
            "columns": {"path": "file", "patient": "person", "labels": ["CD", "MI"], "fold": "f"}}  # fmt: skip
    return Manifest.model_validate_json(json.dumps({**json.loads(model.manifest.text()), "data": data}))


def test_a_table_needs_nothing_but_paths_and_keeps_its_order(model: ExportedModel, folder: Path) -> None:
    given = predict_source(model, records_of(model.manifest, str(folder / "bare.csv"), overrides=OURS))
    assert given.paths == tuple(pd.read_csv(folder / "bare.csv")["file"])
    assert given.record.tolist() == list(range(1, N_OWN + 1))
    whole = predict_source(model, records_of(model.manifest, str(folder / "records.csv"), overrides=OURS))
    np.testing.assert_allclose(given.probabilities, whole.probabilities[::-1], rtol=0, atol=1e-6)
    named = (*OURS, "columns.record=number")
    numbered = predict_source(model, records_of(model.manifest, str(folder / "bare.parquet"), overrides=named))
    assert numbered.record.tolist() == [10 * row for row in range(N_OWN)]
    np.testing.assert_array_equal(numbered.probabilities, whole.probabilities)


def test_a_model_of_a_table_knows_how_the_files_of_another_are(model: ExportedModel, folder: Path) -> None:
    source = records_of(trained_on_a_table(model), str(folder / "bare.csv"))
    wanted = records_of(model.manifest, str(folder / "bare.csv"), overrides=OURS)
    assert source.digest() == wanted.digest()


def test_a_source_is_declared_as_in_training_or_by_what_is_said(model: ExportedModel) -> None:
    assert records_of(model.manifest, "synthetic") == Synthetic(n_records=200, seed=1)
    assert records_of(model.manifest, "synthetic", overrides=("n_records=300", "seed=7")) == Synthetic(300, 7)


def test_leads_that_are_declared_away_are_refused(model: ExportedModel, folder: Path) -> None:
    def source(leads: str) -> Source:
        return records_of(model.manifest, str(folder / "bare.csv"), overrides=(*OURS, f"form.leads={leads}"))

    with pytest.raises(DataError) as raised:
        predict_source(model, source('["I", "II", "V1"]'))
    assert "records of the leads I II V1 lack V2 V3 V4 V5 V6, which this model takes" in str(raised.value)
    with pytest.raises(DataError, match="form"):  # twelve rows under ten names: not the leads are at fault any more
        predict_source(model, source('["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]'))


def test_records_of_fewer_leads_are_refused(model: ExportedModel, folder: Path) -> None:
    np.save(folder / "eight.npy", np.zeros((8, 1000), np.float32))
    (folder / "eight.csv").write_text("path\neight.npy\n")
    with pytest.raises(AblateError) as raised:
        predict_source(model, records_of(model.manifest, str(folder / "eight.csv"), overrides=OURS[:2]))
    assert "eight.npy" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_damaged_record_is_an_error_or_is_left_out_and_told(model: ExportedModel, folder: Path) -> None:
    paths = [*pd.read_csv(folder / "bare.csv")["file"][:3], "missing.npy"]
    (folder / "some.csv").write_text("path\n" + "\n".join(paths) + "\n")
    source = records_of(model.manifest, str(folder / "some.csv"), overrides=OURS[:2])
    with pytest.raises(DataError, match="missing"):
        predict_source(model, source)
    given = predict_source(model, source, skip_damaged=True)
    assert given.record.tolist() == [1, 2, 3]
    assert list(given.left_out) == [4]
    assert "missing.npy" in given.left_out[4]


@pytest.mark.parametrize(
    ("records", "overrides", "says"),
    [
        ("nothing", (), "expected a table, .csv or .parquet, or one of synthetic, ptbxl"),
        ("missing.csv", (), "missing.csv: cannot be read"),
        ("bare.csv", ("columns.path=files",), "no column 'files' (data.columns.path)"),
        ("bare.csv", ("form.unit=kV",), "data.form.unit = 'kV': expected"),
        ("bare.csv", ("nonsense",), "expected key=value"),
        ("synthetic", ("n_records=3",), "data.n_records = 3: expected at least 200"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    model: ExportedModel, folder: Path, records: str, overrides: tuple[str, ...], says: str
) -> None:
    named = str(folder / records) if records.endswith(".csv") else records
    with pytest.raises(AblateError) as raised:
        predict_source(model, records_of(model.manifest, named, overrides=overrides))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_label_is_looked_at(model: ExportedModel, folder: Path) -> None:
    """A column of labels may hold anything: predictions are the same."""
    table = pd.read_csv(folder / "records.csv").astype(object)
    table[["CD", "MI", "person"]] = "?"
    table.to_csv(folder / "unknown.csv", index=False)
    given, wanted = (
        predict_source(model, records_of(model.manifest, str(folder / name), overrides=OURS))
        for name in ("unknown.csv", "records.csv")
    )
    np.testing.assert_array_equal(given.probabilities, wanted.probabilities)


def test_tables_are_written_whole_with_every_digit(tmp_path: Path) -> None:
    probabilities = np.random.default_rng(0).random((50, 2), dtype=np.float32)
    frame = Predictions(("AF", "path"), np.arange(50), probabilities, tuple(f"r{n}" for n in range(50))).frame()
    assert list(frame) == ["record", "path", "AF", "class path"]
    for name, read in (("p.csv", pd.read_csv), ("p.parquet", pd.read_parquet)):
        write_table(tmp_path / name, frame)
        np.testing.assert_array_equal(read(tmp_path / name)[["AF", "class path"]].astype(np.float32), probabilities)
    with pytest.raises(OptionError, match="expected a name that ends with"):
        check_suffix(tmp_path / "p.txt", "--out")
