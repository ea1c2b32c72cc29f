"""A model's way home: kept, exported, loaded where there is no database, and asked for what the study scored."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_folder import SMALL_STUDY, Workplace

from ablate.stats.metrics import both_outcomes, macro_auroc

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
NAMES = {"val_auroc": "validation AUROC", "val_auprc": "validation AUPRC", "test_auroc": "test AUROC",
         "test_auprc": "test AUPRC"}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A study that keeps weights, done; the model that was taken from it, and all its predictions."""

    workplace: Workplace
    said: str
    stored: pd.DataFrame

    @property
    def folder(self) -> Path:
        return self.workplace.folder / "model"

    @property
    def manifest(self) -> dict[str, Any]:
        return manifest(self.folder)

    @property
    def card(self) -> str:
        return (self.folder / "README.md").read_text()


def manifest(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return document


@pytest.fixture(scope="module")
def exported(new_workplace: Callable[[], Workplace]) -> Exported:
    workplace = new_workplace()
    plain = SMALL_STUDY.replace("search_trials = 2", "search_trials = 0")
    kept = plain.replace("[0.5]", "[1.0]").replace("[arms.ft]", '[arms.ft]\ntitle = "tuning alone"')
    (workplace.folder / "studies" / "plain.toml").write_text(plain)
    (workplace.folder / "studies" / "kept.toml").write_text('keep = "best"\n' + kept)
    workplace.ablate("run", "kept", "--workers", "2")
    said = workplace.ablate("export", "kept", "--out", "model", "--predictions", "all.parquet")
    return Exported(workplace, said, pd.read_parquet(workplace.folder / "all.parquet"))


@pytest.fixture(scope="module")
def report(exported: Exported) -> dict[str, Any]:
    document: dict[str, Any] = exported.workplace.json("report", "kept")
    return document


@pytest.fixture(scope="module")
def trials(report: dict[str, Any]) -> pd.DataFrame:
    return pd.read_csv(Path(report["page"]).parent / "trials.csv").set_index("key")


def test_a_fresh_process_without_a_database_predicts_what_the_study_stored(exported: Exported) -> None:
    workplace, document, stored = exported.workplace, exported.manifest, exported.stored
    said = workplace.ablate("predict", "model", "synthetic", "--out", "home.csv", ABLATE_STORAGE=NOWHERE)
    assert said == "home.csv: 240 records, 5 classes; 0 left out\n"
    origin, classes = document["origin"], document["classes"]
    is_it = (stored["arm"] == origin["arm"]) & (stored["replicate"] == origin["replicate"])
    wanted, other = stored[is_it].set_index("record"), stored[~is_it].set_index("record")
    given = pd.read_csv(workplace.folder / "home.csv").set_index("record")
    assert len(wanted) > 15
    np.testing.assert_allclose(given.loc[wanted.index, classes], wanted[classes], rtol=0, atol=1e-6)
    assert np.abs(given.loc[other.index, classes].to_numpy() - other[classes].to_numpy()).max() > 1e-3


def test_what_is_taken_is_chosen_by_validation_scores(exported: Exported, trials: pd.DataFrame) -> None:
    origin = exported.manifest["origin"]
    confirmed = trials[trials["phase"] == "confirm"]
    assert origin["arm"] == confirmed.groupby("arm")["val_auroc"].mean().idxmax()
    assert origin["replicate"] == confirmed[confirmed["arm"] == origin["arm"]].set_index("index")["val_auroc"].idxmax()
    taken = rf"{origin['arm']}, replicate {origin['replicate']} of kept; val_auroc 0\.\d{{4}}, [\d,]+ bytes of weights"
    assert re.search(rf"^model: {taken}$", exported.said, re.MULTILINE)


def test_what_the_card_says_is_what_the_report_says(
    exported: Exported, report: dict[str, Any], trials: pd.DataFrame
) -> None:
    card, origin = exported.card, exported.manifest["origin"]
    (arm,) = [one for one in report["arms"] if one["arm"] == origin["arm"]]
    shown = dict(re.findall(r"^\| (\w+ \w+) \| 2 \| ([\d.]+ ± [\d.]+) \|", card, re.MULTILINE))
    means = {name: (arm["scores"][key]["mean"], arm["scores"][key]["sd"]) for key, name in NAMES.items()}
    assert shown == {name: f"{mean:.4f} ± {sd:.4f}" for name, (mean, sd) in means.items()}
    said = exported.workplace.ablate("report", "kept")
    (verdict,) = re.findall(r"^(not tested) at all of the data: (.*)$", said, re.MULTILINE)
    assert f"- {verdict[0]}: {verdict[1]}\n" in card
    trial = trials.loc[f"confirm/{origin['arm']}/data_fraction=1.0/{origin['replicate']}"]
    own = dict(re.findall(r"^\| (\w+ \w+) \| ([\d.]+) \|$", card, re.MULTILINE))
    assert own == {name: f"{trial[column]:.4f}" for column, name in NAMES.items()}


def test_the_snippet_of_the_card_runs_where_there_is_no_database(exported: Exported) -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", exported.card, re.MULTILINE | re.DOTALL)
    home = exported.workplace.folder / "no_home"
    environment = {**exported.workplace.environment, "ABLATE_STORAGE": NOWHERE, "ABLATE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=exported.folder, env=environment, text=True, capture_output=True,
        check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == exported.manifest["classes"]
    assert all(0 < float(number) < 1 for line in lines for number in line.partition("[")[2].rstrip("]").split())
    assert not home.exists()


def test_predictions_hold_every_confirmed_trial_and_what_is_true(exported: Exported, trials: pd.DataFrame) -> None:
    stored = exported.stored
    classes = [name.removeprefix("label ") for name in stored if name.startswith("label ")]
    assert set(stored["slot"]) == set(trials.index[trials["phase"] == "confirm"])
    for slot, rows in stored.groupby("slot"):
        labels = rows[[f"label {name}" for name in classes]].to_numpy(bool)
        score = macro_auroc(labels, rows[classes].to_numpy(), classes=both_outcomes(labels))
        assert score == pytest.approx(trials.loc[slot, "test_auroc"], abs=1e-9)


def test_training_anew_gives_the_bits_of_a_replicate_that_had_all_of_the_data(exported: Exported) -> None:
    workplace, folder = exported.workplace, exported.workplace.folder / "again"
    workplace.ablate("export", "kept", "--retrain", "--out", "again")
    assert (folder / "weights.safetensors").read_bytes() == (exported.folder / "weights.safetensors").read_bytes()
    again, before = manifest(folder), exported.manifest
    assert again["thresholds"] == before["thresholds"]
    assert again["scores"] == {name: score for name, score in before["scores"].items() if name.startswith("val_")}
    assert "it has no test score of its own" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_a_study_that_keeps_nothing_says_how_to_go_on_and_can_be_trained_anew(exported: Exported) -> None:
    workplace = exported.workplace
    workplace.ablate("run", "plain", "--launcher", "kubernetes", "--option", "image=i")  # registered, no more
    said = workplace.ablate("export", "plain", "--retrain", "--out", "none", status=4)
    assert re.fullmatch("ablate: study plain: not sealed.*\n", said)
    workplace.ablate("run", "plain", "--workers", "2")
    said = workplace.ablate("export", "plain", "--arm", "lp", "--out", "none", status=4)
    assert said.startswith("ablate: study plain: kept no weights; `ablate export plain --arm lp --retrain --out DIR`")
    assert len(said.splitlines()) == 1
    assert not list(workplace.folder.glob("none*"))
    shown = workplace.ablate("export", "plain", "--arm", "lp", "--retrain", "--out", "anew")
    assert "anew: lp, retrained on all training folds, seed of replicate" in shown
    document = manifest(workplace.folder / "anew")
    assert (document["params"]["data_fraction"], document["origin"]["training"]) == (1.0, "retrained")
    assert document["n_train"] > 150  # of the 240 records; half of these in the study
    assert set(document["class_scores"]) == {"val"}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("export", "kept", "--out", "o", "--arm", "lq"), 2, "--arm lq: no such arm in kept; known here: ft, lp"),
        (("export", "kept", "--out", "studies"), 2, "--out studies: is there and not empty"),
        (("predict", "studies", "synthetic", "--out", "o.csv"), 3, "expected a folder that `ablate export` wrote"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    exported: Exported, words: tuple[str, ...], status: int, says: str
) -> None:
    said = exported.workplace.ablate(*words, status=status)
    assert says in said
    assert len(said.splitlines()) == 1
    assert not list(exported.workplace.folder.glob("o*"))


def test_the_plan_says_what_weights_take(exported: Exported) -> None:
    n_bytes = (exported.folder / "weights.safetensors").stat().st_size
    (said,) = re.findall(
        r"^weights: 3\.1 MB \(about ([\d,]+) bytes\) in the store, keep = 'best'$",
        exported.workplace.ablate("plan", "kept"), re.MULTILINE,
    )  # fmt: skip
    planned = int(said.replace(",", ""))
    assert planned == pytest.approx(4 * n_bytes, rel=0.05)  # the header of so small a file is 3 % of it
