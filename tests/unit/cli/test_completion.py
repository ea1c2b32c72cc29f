"""Names and keys that a shell completes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from planned_search import PLAIN_NUMBERS

from ablate.cli.completion import DEFAULTED_KEYS, complete_set, complete_study, remember_studies
from ablate.document import flat
from ablate.study.file import load_spec


def test_files_and_stored_studies_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    assert "sd_vs_lp" in complete_study("sd")
    remember_studies(["sd_vs_lp@1a2b3c", "other"])
    assert complete_study("sd_vs_lp@") == ["sd_vs_lp@1a2b3c"]
    assert complete_study("x") == []


def test_keys_of_the_named_study_are_completed_with_its_arms() -> None:
    keys = complete_set(SimpleNamespace(params={"study": "sd_vs_lp"}), "arms.")
    assert "arms.ft.probe_epochs=" in keys
    assert complete_set(SimpleNamespace(params={"study": "sd_vs_lp"}), "budget.rep") == ["budget.replicates="]
    assert complete_set(SimpleNamespace(params={"study": None}), "margin.") == ["margin.auprc=", "margin.auroc="]
    assert complete_set(SimpleNamespace(params={"study": "sd_vs_lp"}), "budget.replicates=3") == []


def test_every_key_with_a_default_is_one_of_the_models() -> None:
    known = set(dict(flat(load_spec(PLAIN_NUMBERS, overrides=["search.early_stopping=false"]).document())))
    assert set(DEFAULTED_KEYS) - {"search.early_stopping"} <= known
