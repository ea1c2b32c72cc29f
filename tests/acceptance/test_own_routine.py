"""A study of somebody else's training script through real processes, and what becomes of scripts that fail or spy."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command_folder import Workplace
from sklearn.metrics import roc_auc_score

from ablate.ecg.cohort import open_cohort
from ablate.ecg.seal import Permit
from ablate.ecg.split import load_task
from ablate.seeds import derive

DOCS = Path(__file__).parents[2] / "docs"
OF_POST_TRAINING = re.compile(
    r"(?i)\bprob(e|ing)\b|drop.?path|fine.?tun|encoder|\bhead\b|batch order|pre-train|updates"
)


def settled_in(workplace: Workplace) -> str:
    """The documents' example, smaller; its name as a user types it."""
    (workplace.folder / "docs").mkdir()
    for name in ("train_bands.py", "own_routine.py"):
        (workplace.folder / "docs" / name).write_text((DOCS / name).read_text())
    text = (DOCS / "own_routine.toml").read_text()
    for old, new in (("n_records = 2400", "n_records = 240"), ("search_trials = 8", "search_trials = 3"),
                     ("epochs = 12", "epochs = 3"), ("replicates = 10", "replicates = 6"),
                     ("looks = [5, 10]", "looks = [5, 6]\nfutility = 0.0")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (workplace.folder / "docs" / "own_routine.toml").write_text(text)
    return "docs/own_routine.toml"


def words_of(page: str) -> str:
    """What a reader sees of a page."""
    visible = re.sub(r"<(script|style|pre)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", visible)


@pytest.mark.slow
def test_somebody_elses_script_from_run_to_report(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    study = settled_in(workplace)
    shown = [workplace.ablate(command, study) for command in ("check", "plan")]
    shown.append(workplace.ablate("run", study, "--workers", "2"))
    shown.append(workplace.ablate("status", "own_routine"))
    workplace.ablate("report", "own_routine", "--out", "out")
    out = workplace.folder / "out"
    page = words_of((out / "index.html").read_text())
    assert "docs/own_routine.py:train" in page
    for text in (page, *shown):
        assert not OF_POST_TRAINING.search(text), OF_POST_TRAINING.search(text)

    with (out / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["state"] for row in rows} == {"done"}
    confirmed = [row for row in rows if row["phase"] == "confirm"]
    document = json.loads((out / "report.json").read_text())
    is_open = document["headline"].startswith("Nothing is established")
    assert len(confirmed) in ({2 * 6} if is_open else {2 * 5, 2 * 6}), "blocks are added until the answer is there"
    for arm in ("power", "log"):
        searched = [row for row in rows if (row["phase"], row["arm"]) == ("search", arm)]
        best = max(searched, key=lambda row: float(row["val_auroc"]))
        assert len(searched) == 3
        for name in ("param_lr", "param_mixup", "param_scale"):
            assert {row[name] for row in confirmed if row["arm"] == arm} == {best[name]}

    assert document["headline"] in shown[2]
    (block,) = [row for row in confirmed if row["arm"] == "log" and row["key"].endswith("/4")]
    assert float(block["test_auroc"]) == pytest.approx(by_hand(workplace, block, monkeypatch), abs=1e-6)

    script = workplace.folder / "docs" / "train_bands.py"
    script.write_text(script.read_text().replace("n_bands=20", "n_bands=10"))
    refused = workplace.ablate("run", study, status=4)
    assert "stored with another spec (routine.code: stored" in refused


def by_hand(workplace: Workplace, block: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> float:
    """Test AUROC of a block by the script alone, on the same arrays."""
    monkeypatch.syspath_prepend(str(DOCS))
    train_bands = __import__("train_bands")
    (sealed,) = (workplace.folder / "home" / "prepared").glob("*/sealed.npy")
    data = load_task(open_cohort(sealed.parent), "superdiagnostic", permit=Permit("t", "t"))
    signals = np.asarray(data.signals, np.float32)
    config = train_bands.Config(
        lr=float(block["param_lr"]), mixup=float(block["param_mixup"]), scale=block["param_scale"], epochs=3,
        seed=derive(int(block["seed"]), "routine") % 2**32,
    )  # fmt: skip
    model = train_bands.Model(config).fit(signals[data.train_rows], data.train_labels)
    sys.modules.pop("train_bands")
    assert data.test_labels is not None
    both = data.test_labels.any(0) & ~data.test_labels.all(0)
    return float(roc_auc_score(data.test_labels[:, both], model.predict(signals[data.test_rows])[:, both]))


SPYING = """
import gc
from pathlib import Path
from ablate.ecg.split import TaskData

def train(params, records, seed):
    if "test" in records.scored:
        held = [each for each in gc.get_objects() if type(each) is TaskData and each.test_labels is not None]
        try:
            next(Path("home/prepared").glob("*/sealed.npy")).read_bytes()
        except Exception as error:
            print(len(held), type(error).__name__)
        if params["fails"]:
            raise ValueError("no such lead\\nas V9")
    print('{"json": "of the script"}')
    rate = records.train.labels.mean(0)
    return {name: rate + 0 * part.signals[:, 0, :1] for name, part in records.scored.items()}
"""
STUDY = """
question = "What can a script see, and what if it fails?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 200}
routine = {entry = "spy.py:train", params = {fails = {choices = [false, true], default = false}}}
space = {fails = {choices = [false, true]}}
budget = {replicates = 2, max_attempts = 1}
[arms.spies]
fails = false
[arms.fails]
fails = true
"""


@pytest.mark.slow
def test_a_script_sees_no_label_of_the_test_fold_and_its_failure_is_one_line(workplace: Workplace) -> None:
    (workplace.folder / "spy.py").write_text(SPYING)
    workplace.study.write_text(STUDY)
    said = workplace.ablate("run", "small", "--workers", "1", "--json", status=1)
    assert "2 slots failed" in said
    logs = workplace.folder / "home" / "routine_logs" / "small" / "confirm"
    spied = sorted((logs / "spies").rglob("*.log"))
    assert [file.read_text().splitlines()[0] for file in spied] == ["0 SealedError"] * 2
    workplace.ablate("report", "small", "--out", "out")
    with (workplace.folder / "out" / "trials.csv").open() as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    failed = [row for row in rows.values() if row["state"] == "failed"]
    assert [row["arm"] for row in failed] == ["fails", "fails"]
    for row in failed:
        assert "raised ValueError: no such lead as V9 (spy.py, line 14); its traceback is in " in row["reason"]
        log = Path(row["reason"].rpartition(" is in ")[2])
        assert 'spy.py", line 14, in train' in log.read_text()
    assert {row["state"] for row in rows.values() if row["arm"] == "spies"} == {"done"}


def test_a_routine_that_cannot_be_run_leaves_no_study(workplace: Workplace) -> None:
    (workplace.folder / "spy.py").write_text(SPYING.replace("rate + 0", "rate / 0 + 0"))
    workplace.study.write_text(STUDY)
    message = workplace.ablate("run", "small", "--workers", "1", status=2)
    assert "spy.py:train" in message
    assert "not finite" in message
    assert message.strip().count("\n") == 0
    assert workplace.json("studies")["studies"] == []
    workplace.study.write_text(STUDY.replace("spy.py", "none.py").replace("{fails = {choices = [false, true]}}", "3"))
    checked = workplace.ablate("check", "small", status=2)
    assert "studies/small.toml:4: routine.entry: 'none.py:train': there is no file none.py" in checked
    assert "studies/small.toml:5: space: expected a table of hyper-parameters" in checked
