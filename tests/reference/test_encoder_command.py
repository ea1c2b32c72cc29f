"""``ablate encoder`` as a user calls it."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ablate.cli.main import main
from ablate.model.catalogue import CATALOGUE, WEIGHTS_DIR


class Said(NamedTuple):
    stdout: str
    stderr: str


@pytest.fixture
def ablate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable]:
    """The command in this process, which has torch already; elsewhere commands are real processes."""
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    n_threads = torch.get_num_threads()

    def call(*arguments: str, status: int = 0) -> Said:
        monkeypatch.setattr(sys, "argv", ["ablate", "encoder", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = Said(*capsys.readouterr())
        assert (ended.value.code or 0) == status, said.stderr
        return said

    yield call
    torch.set_num_threads(n_threads)


def test_every_encoder_is_listed_with_its_weights(ablate: Callable[..., Any]) -> None:
    rows = {row["name"]: row for row in json.loads(ablate("list", "--json").stdout)}
    assert set(CATALOGUE) <= set(rows)
    assert rows["net1d_small"]["weights"] == "embedded, synthetic, random, a file"
    assert 100_000 <= rows["net1d_small"]["parameters"] <= 300_000
    assert rows["ecgfounder"]["takes"] == "12 leads, 500 Hz, any length"


def test_shipped_weights_verify(ablate: Callable[..., Any]) -> None:
    file = WEIGHTS_DIR / "net1d_small_embedded.safetensors"
    found = json.loads(ablate("verify", str(file), "--json").stdout)
    assert found["encoder"] == "net1d_small" and found["logits"] is None
    assert found["digest"] == json.loads(file.with_suffix(".json").read_text())["digest"]
    assert "net1d_small" in ablate("verify", str(file)).stdout


def test_a_damaged_checkpoint_is_answered_in_one_line(ablate: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "cut.pth"
    file.write_bytes(b"PK\x03\x04 cut short")
    said = ablate("verify", str(file), status=3).stderr
    assert said.startswith("ablate: ") and said.count("\n") == 1 and "cut.pth" in said


def test_pretraining_twice_gives_the_same_bytes_and_the_probe_can_be_kept(
    ablate: Callable[..., Any], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        out = str(tmp_path / f"{name}.safetensors")
        ablate("pretrain", "--method", "supervised", "--records", "128", "--epochs", "1", "--out", out)
    one = tmp_path / "one.safetensors"
    assert one.read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    options = ("--records", "300", "--data-fraction", "0.5", "--seeds", "1", "--keep", "--json")
    rows = json.loads(ablate("probe", "--weights", str(one), *options).stdout)
    assert [row["weights"] for row in rows] == [str(one), "random"]
    kept = json.loads(one.with_suffix(".json").read_text())
    assert kept["probe on synthetic, superdiagnostic, 0.5 of the labels, fold 9"] == rows


def test_label_free_pretraining_needs_to_know_where_the_records_are(ablate: Callable[..., Any], tmp_path: Path) -> None:
    options = ("pretrain", "--method", "contrastive", "--out", str(tmp_path / "x.safetensors"))
    assert "is no PTB-XL" in ablate(*options, "--data", str(tmp_path), status=3).stderr
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.slow
@pytest.mark.ptbxl
@pytest.mark.skipif("ABLATE_TEST_PTBXL" not in os.environ, reason="ABLATE_TEST_PTBXL names no folder of PTB-XL")
def test_the_embedded_encoder_knows_real_records_far_better_than_chance_weights(ablate: Callable[..., Any]) -> None:
    rows = json.loads(ablate("probe", "--data", os.environ["ABLATE_TEST_PTBXL"], "--seeds", "3", "--json").stdout)
    scores = {row["weights"]: row["val_auroc"] for row in rows}
    assert scores["embedded"] >= 0.845
    assert scores["random"] < 0.80
