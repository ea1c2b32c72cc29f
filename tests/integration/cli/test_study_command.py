"""Studies that a start which failed leaves behind, and files that `ablate init` writes."""

from pathlib import Path

import pytest
from planned_search import PLAIN_NUMBERS
from typer.testing import CliRunner

from ablate.cli.document import StudiesDocument
from ablate.cli.main import app
from ablate.cli.run import begun
from ablate.ecg.example import write_example
from ablate.errors import AblateError, DataError, LaunchError, OptionError
from ablate.store.store import Store
from ablate.study.cohort import source_of
from ablate.study.file import load_spec


@pytest.mark.parametrize("error", [LaunchError("the pilot fails"), ValueError("a bug")])
def test_a_start_that_fails_with_whatever_leaves_no_study(
    store: Store, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path))
    spec = load_spec(PLAIN_NUMBERS)
    with pytest.raises(type(error)), begun(store, spec):
        assert store.studies() == [spec.name]
        raise error
    assert store.studies() == []


def test_a_study_that_was_there_and_an_interrupted_start_stay(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path))
    spec = load_spec(PLAIN_NUMBERS)
    for error in (KeyboardInterrupt(), LaunchError("the second start fails")):
        with pytest.raises(type(error)), begun(store, spec):
            raise error
        assert store.studies() == [spec.name]


def test_init_writes_a_study_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for bad in (["--encoder", "nobody"], ["--component", "drop"], ["--budget", "huge"]):
        done = CliRunner().invoke(app, ["init", "mine", *bad])
        assert isinstance(done.exception, AblateError) and done.exception.exit_status == OptionError.exit_status
        assert list(tmp_path.rglob("*")) == []
    assert CliRunner().invoke(app, ["init", "mine"]).exit_code == 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.toml"]


def test_init_writes_a_study_of_own_records_that_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_example(tmp_path, n_records=200)
    labels = [word for label in ("CD", "HYP", "MI", "NORM", "STTC") for word in ("--label", label)]
    given = ["init", "mine", "--data", "table", "--path-column", "file", "--rate", "100", "--unit", "uV", *labels]
    wrong = CliRunner().invoke(app, [*given, "--patient", "who"])
    assert isinstance(wrong.exception, DataError) and "'who'" in str(wrong.exception)
    assert "--patient" in str(wrong.exception)
    stray = CliRunner().invoke(app, ["init", "mine", "--table", "records.csv"])
    assert "--table: does not belong to --data synthetic" in str(stray.exception)
    done = CliRunner().invoke(app, [*given, "--patient", "person"])
    assert (done.exit_code, list((tmp_path / "studies").iterdir())) == (0, [tmp_path / "studies" / "mine.toml"])
    assert "ablate data check --study studies/mine.toml --data DIR" in done.output
    source = source_of(load_spec("studies/mine.toml"), data_dir=tmp_path)
    assert len(source.records().ecg_id) == 200
    assert abs(source.read(1, 100)).max() < 20  # mV: the unit is that of the option


def test_studies_for_programs_keep_to_their_model(store: Store, store_url: str) -> None:
    spec = load_spec(PLAIN_NUMBERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATE_HOME", "/nowhere")
        store.register(spec.name, spec.document(), spec.digest(), [])
        said = CliRunner().invoke(app, ["studies", "--storage", store_url, "--json"]).output
    (study,) = StudiesDocument.model_validate_json(said).studies
    assert (study.study, study.changed, study.slots) == (spec.name, {}, 0)
