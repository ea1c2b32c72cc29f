"""A study of several encoders and views through real processes: what can be shared is, and the page says the rest."""

import csv
from pathlib import Path

from command_folder import Workplace

OWN = Path(__file__).parents[2] / "docs" / "own_encoder.py"
STUDY = """
question = "Does the encoder matter, or the rate?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 200}
encoder = {name = "net1d_small", weights = "random"}
fixed = {ft_epochs = 1, batch_size = 32}
budget = {search_trials = 1, replicates = 1, generation = 1}
[space]
ft_lr = {low = 1e-4, high = 1e-2, log = true}
[arms.net1d]
[arms.own]
encoder = "own_encoder.py:make"
[arms.slow]
fs_hz = 50
[arms.too]
precision = "bf16"
"""


def test_records_are_prepared_once_for_each_view_and_blocks_are_paired(workplace: Workplace) -> None:
    (workplace.folder / "own_encoder.py").write_text(OWN.read_text())
    workplace.study.write_text(STUDY)
    workplace.ablate("run", "small", "--workers", "1")
    prepared = {path.parent.name for path in (workplace.folder / "home" / "prepared").glob("*/signals*")}
    assert len(prepared) == 2, "one for each rate"
    workplace.ablate("report", "small", "--out", "out")
    with (workplace.folder / "out" / "trials.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "confirm"]
    assert {row["arm"] for row in rows} == {"net1d", "own", "slow", "too"}
    assert len({row["seed"] for row in rows}) == 1
    assert len({row["n_train"] for row in rows}) == 1
    assert len({row["test_auroc"] for row in rows if row["arm"] != "too"}) == 3
    assert {row["arm"]: row["precision"] for row in rows} == dict.fromkeys(("net1d", "own", "slow"), "fp32") | {
        "too": "bf16"
    }
    page = (workplace.folder / "out" / "index.html").read_text()
    assert "own_encoder.py:make" in page
    assert "50 Hz" in page


def test_an_encoder_that_cannot_be_trained_leaves_no_study(workplace: Workplace) -> None:
    broken = OWN.read_text().replace(".mean(2)", ".mean(2) / 0").replace("return [self.drop_path]", "return []")
    (workplace.folder / "own_encoder.py").write_text(broken)
    workplace.study.write_text(STUDY)
    message = workplace.ablate("run", "small", "--workers", "1", status=2)
    assert "own_encoder.py:make" in message
    assert "not finite" in message
    assert message.strip().count("\n") == 0
    assert workplace.json("studies")["studies"] == []
