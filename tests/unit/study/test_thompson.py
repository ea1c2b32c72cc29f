"""Proposals from the posterior: where the score may be best, apart from one another, the same everywhere."""

import math
from typing import Any

import numpy as np

from ablate.domain import Domain
from ablate.study.thompson import drawn

SPACE = {
    "ft_lr": Domain(name="ft_lr", low=1e-4, high=1e-2, log=True),
    "probe_epochs": Domain(name="probe_epochs", low=5, high=40, integer=True),
    "drop_path_mode": Domain(name="drop_path_mode", choices=("sample", "batch", "fixed")),
}


def score(params: dict[str, Any]) -> float:
    return 0.9 - 0.05 * math.log10(params["ft_lr"] / 1e-3) ** 2 - 0.02 * (params["drop_path_mode"] != "batch")


def history(n: int) -> list[tuple[dict[str, Any], float]]:
    rows = np.random.default_rng(3).random((n, len(SPACE))).tolist()
    params = [{name: SPACE[name].at(each) for name, each in zip(SPACE, row, strict=True)} for row in rows]
    return [(each, score(each)) for each in params]


def test_proposals_lie_in_the_space_differ_and_repeat() -> None:
    found = drawn(history(8), SPACE, 0.005, n=8, seed=1)
    assert all(params[name] in domain for params in found for name, domain in SPACE.items())
    assert len({str(params) for params in found}) == 8
    assert found == drawn(history(8), SPACE, 0.005, n=8, seed=1)
    assert found != drawn(history(8), SPACE, 0.005, n=8, seed=2)


def test_they_gather_where_the_score_is_best() -> None:
    found = drawn(history(32), SPACE, 0.005, n=32, seed=1)
    assert np.mean([score(params) for params in found]) > 0.893
    assert np.mean([value for _, value in history(32)]) < 0.88


def test_little_knowledge_spreads_them_and_more_gathers_them() -> None:
    spread = [
        np.std([math.log10(params["ft_lr"]) for params in drawn(history(n), SPACE, 0.005, n=32, seed=1)])
        for n in (4, 48)
    ]
    assert spread[1] < 0.6 * spread[0]


def test_they_keep_away_from_trials_that_diverged() -> None:
    trials = [(params, -math.inf if params["ft_lr"] > 2e-3 else value) for params, value in history(32)]
    found = drawn(trials, SPACE, 0.005, n=32, seed=1)
    assert np.mean([params["ft_lr"] > 3e-3 for params in found]) < 0.1


def test_a_space_of_few_choices_that_is_used_up_repeats_each_of_them_in_turn() -> None:
    mode = {"drop_path_mode": SPACE["drop_path_mode"]}
    scores = {"sample": 0.8, "batch": 0.9, "fixed": 0.7}
    trials = [({"drop_path_mode": choice}, value) for choice, value in scores.items()]
    found = drawn(trials, mode, 0.005, n=3, seed=1)
    assert {params["drop_path_mode"] for params in found} == {"sample", "batch", "fixed"}
    assert len(drawn(trials, mode, 0.005, n=5, seed=1)) == 5


def test_no_finished_trial_is_repeated_also_where_the_posterior_is_fitted_to_a_part_of_them() -> None:
    epochs = {"probe_epochs": Domain(name="probe_epochs", low=1, high=210, integer=True)}
    trials = [({"probe_epochs": n}, 0.9 - 1e-4 * abs(n - 60)) for n in range(1, 206)]
    found = drawn(trials, epochs, 0.005, n=2, seed=1)
    assert min(params["probe_epochs"] for params in found) > 205
