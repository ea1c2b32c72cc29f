"""Generated arms and their contrasts."""

import numpy as np
import pytest
from pydantic import ValidationError

from ablate.errors import SpecError
from ablate.study.design import Design
from ablate.study.file import load_spec
from ablate.study.space import point

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
    assert point(arms["sd"]["drop_path_rate"]) == 0.2
    assert point(arms["sd"]["probe_epochs"]) == 0
    assert [c["name"] for c in contrasts] == ["sd - baseline", "lp - baseline", "sd+lp - baseline"]


def test_leave_one_out_has_all_and_all_but_one() -> None:
    arms, contrasts = design("leave_one_out", 3).expand()
    assert list(arms) == ["full", "full-sd", "full-lp", "full-ld"]
    assert point(arms["full-lp"]["probe_epochs"]) == 0
    assert point(arms["full-lp"]["drop_path_rate"]) == 0.2
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
