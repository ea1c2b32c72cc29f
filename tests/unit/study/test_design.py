"""Generated arms and their contrasts."""

import json
from pathlib import Path

import numpy as np
import pytest
from planned_search import tuning
from pydantic import ValidationError

from ablate.errors import SpecError
from ablate.store.slot import Past
from ablate.study.ablation_path import walk
from ablate.study.confirmation import seal_document
from ablate.study.design import Design
from ablate.study.file import load_spec
from ablate.study.plan import plan
from ablate.study.spec import Spec

SWITCHES = {
    "sd": {"off": {"drop_path_rate": 0.0}, "on": {"drop_path_rate": 0.2}},
    "lp": {"off": {"probe_epochs": 0}, "on": {"probe_epochs": 20}},
    "ld": {"off": {"layer_decay": 1.0}, "on": {"layer_decay": 0.8}},
    "ls": {"off": {"label_smoothing": 0.0}, "on": {"label_smoothing": 0.1}},
    "wu": {"off": {"warmup_fraction": 0.0}, "on": {"warmup_fraction": 0.1}},
    "do": {"off": {"dropout": 0.0}, "on": {"dropout": 0.2}},
}


def design(kind: str, n: int) -> Design:
    return Design.model_validate({"kind": kind, "components": dict(list(SWITCHES.items())[:n])})


def weights(arms: dict, contrasts: list) -> np.ndarray:
    """Weight of each arm in each contrast."""
    return np.array([[contrast["combination"][arm] for arm in arms] for contrast in contrasts])


def test_add_one_in_has_the_baseline_each_component_alone_and_all() -> None:
    arms, contrasts = design("add_one_in", 2).expand()
    assert list(arms) == ["baseline", "sd", "lp", "sd+lp"]
    assert arms["sd"]["drop_path_rate"].point == 0.2
    assert arms["sd"]["probe_epochs"].point == 0
    assert [c["name"] for c in contrasts] == ["sd - baseline", "lp - baseline", "sd+lp - baseline"]


def test_leave_one_out_has_all_and_all_but_one() -> None:
    arms, contrasts = design("leave_one_out", 3).expand()
    assert list(arms) == ["full", "full-sd", "full-lp", "full-ld"]
    assert arms["full-lp"]["probe_epochs"].point == 0
    assert arms["full-lp"]["drop_path_rate"].point == 0.2
    assert all(c["arm"] == "full" for c in contrasts)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_factorial_has_every_combination_once_and_orthogonal_effects(n: int) -> None:
    arms, contrasts = design("factorial", n).expand()
    assert len(arms) == 2**n
    w = weights(arms, contrasts)
    assert len(contrasts) == n + n * (n - 1) // 2
    np.testing.assert_allclose(w.sum(axis=1), 0)
    np.testing.assert_allclose(w @ w.T, np.eye(len(contrasts)) * 4 / 2**n)


@pytest.mark.parametrize(("n", "arms_wanted"), [(5, 16), (6, 32)])
def test_a_half_fraction_keeps_main_effects_and_pairs_apart(n: int, arms_wanted: int) -> None:
    arms, contrasts = design("half_fraction", n).expand()
    assert len(arms) == arms_wanted
    w = weights(arms, contrasts)
    np.testing.assert_allclose(w @ w.T, np.eye(len(contrasts)) * 4 / arms_wanted)


@pytest.mark.parametrize(("kind", "n"), [("factorial", 5), ("half_fraction", 4)])
def test_a_design_of_the_wrong_size_names_the_one_that_fits(kind: str, n: int) -> None:
    with pytest.raises(ValidationError, match="use "):
        design(kind, n)


def test_a_study_file_may_generate_its_arms() -> None:
    components = "{sd={off={drop_path_rate=0.0}, on={drop_path_rate={low=0.1, high=0.4}}}}"
    with pytest.raises(SpecError, match=r"either \[arms\] or \[design\]"):
        load_spec("sd_vs_lp", overrides=[f"design={{kind='factorial', components={components}}}"])


COMPONENTS = """{
    sd = {off = {drop_path_rate = 0.0}, on = {drop_path_rate = {low = 0.1, high = 0.4}}},
    lp = {off = {probe_epochs = 0}, on = {probe_epochs = {low = 5, high = 20}}},
    lr = {off = {ft_lr = {low = 1e-4, high = 1e-3}}, on = {ft_lr = {low = 1e-4, high = 1e-3}}}}""".replace("\n", " ")


@pytest.fixture
def path_study(tmp_path: Path) -> Path:
    file = tmp_path / "path.toml"
    file.write_text(
        f"""
        question = "Which step matters?"
        design = {{kind = "path", components = {COMPONENTS}}}
        data = {{source = "synthetic", task = "superdiagnostic", n_records = 500}}
        encoder = {{name = "net1d_small"}}
        budget = {{search_trials = 3, replicates = 2}}
        [space]
        drop_path_rate = {{low = 0.0, high = 0.5}}
        probe_epochs = {{low = 0, high = 20}}
        ft_lr = {{low = 1e-4, high = 1e-3}}
        """
    )
    return file


def test_a_path_tunes_its_ends_and_takes_each_step_from_them(path_study: Path) -> None:
    spec = load_spec(str(path_study))
    assert spec.tuned_arms() == ["baseline", "sd+lp+lr"]
    assert {slot.arm for slot in plan(spec) if slot.phase == "search"} == {"baseline", "sd+lp+lr"}
    assert len({slot.arm for slot in plan(spec) if slot.phase == "confirm"}) == 8
    ends = {
        "baseline|{}": {"drop_path_rate": 0.0, "probe_epochs": 0, "ft_lr": 2e-4},
        "sd+lp+lr|{}": {"drop_path_rate": 0.3, "probe_epochs": 9, "ft_lr": 9e-4},
    }
    found = [
        tuning(spec, name.split("|")[0], {}, [Past(params=params, scores={"val_auroc": 0.8})])
        for name, params in ends.items()
    ]
    chosen = seal_document(spec, found)["chosen"]
    assert chosen["sd|{}"]["params"] == {"drop_path_rate": 0.3, "probe_epochs": 0, "ft_lr": 2e-4}
    assert chosen["lp+lr|{}"]["params"] == {"drop_path_rate": 0.0, "probe_epochs": 9, "ft_lr": 9e-4}
    assert chosen["sd+lp+lr|{}"]["params"] == ends["sd+lp+lr|{}"]


def test_a_generated_study_survives_the_store(path_study: Path) -> None:
    spec = load_spec(str(path_study))
    read = Spec.from_document(json.loads(json.dumps(spec.document())))
    assert read.digest() == spec.digest()
    assert read.arms == spec.arms


def test_a_searched_parameter_outside_every_component_would_break_the_path(path_study: Path) -> None:
    with pytest.raises(SpecError, match="layer_decay: belongs to no component"):
        load_spec(str(path_study), overrides=["space.layer_decay={low=0.7, high=1.0}"])


def test_the_walk_changes_what_helps_most_and_back_what_costs_least() -> None:
    scores = {"baseline": 0.80, "sd": 0.79, "lp": 0.85, "ld": 0.81, "sd+lp": 0.87, "sd+ld": 0.80, "lp+ld": 0.86,
              "sd+lp+ld": 0.88}  # fmt: skip
    there = walk(["sd", "lp", "ld"], scores.__getitem__, forward=True)
    assert [step.component for step in there] == ["lp", "sd", "ld"]
    assert [step.arm for step in there] == ["lp", "sd+lp", "sd+lp+ld"]
    assert there[1].change == pytest.approx(0.02)
    back = walk(["sd", "lp", "ld"], scores.__getitem__, forward=False)
    assert [step.component for step in back] == ["ld", "sd", "lp"]
    assert back[-1].arm == "baseline"
