"""What a search has come to: chosen by the smoothed score, settled when little is left, and optima at an edge told."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from ablate.domain import Domain
from ablate.study.settlement import SETTLED_SHARE, Edge, settle, telling

MARGIN = 0.005
RATE = Domain(name="ft_lr", low=1e-4, high=1e-2, log=True)
RATIO = Domain(name="head_lr_ratio", low=1, high=100, log=True)
EPOCHS = Domain(name="probe_epochs", low=5, high=40, integer=True)
MODE = Domain(name="drop_path_mode", choices=("sample", "batch"))
SPACE = {"ft_lr": RATE, "head_lr_ratio": RATIO, "probe_epochs": EPOCHS}

Params = dict[str, Any]


def hill(params: Params, *, best_rate: float = 1e-3) -> float:
    """The best learning rate is ``best_rate``; the ratio matters a little, the epochs not at all."""
    return (
        0.9
        - 0.02 * math.log10(params["ft_lr"] / best_rate) ** 2
        - 0.004 * math.log10(params["head_lr_ratio"] / 10) ** 2
    )


def history(
    n: int,
    score: Callable[[Params], float] = hill,
    *,
    space: dict[str, Domain] = SPACE,
    noise: float = 0.0,
    seed: int = 0,
) -> list[tuple[Params, float]]:
    """``n`` trials all over the space."""
    random = np.random.default_rng(seed)
    rows = qmc.Sobol(len(space), seed=seed).random(128)[:n]
    points = [
        {name: domain.at(share) for (name, domain), share in zip(space.items(), row, strict=True)}
        for row in rows.tolist()
    ]
    return [(params, score(params) + random.normal(0, noise)) for params in points]


def test_a_lucky_trial_is_not_chosen_over_a_good_neighbourhood() -> None:
    trials = history(32, noise=0.001)
    worst_rate = max(trials, key=lambda trial: abs(math.log10(trial[0]["ft_lr"] / 1e-3)))[0]
    lucky = ({**worst_rate, "ft_lr": worst_rate["ft_lr"] * 0.999}, 0.904)
    unlucky = [(dict(worst_rate), hill(worst_rate) + 0.001 * step) for step in (-1, 0, 1)]
    chosen = settle([*trials, *unlucky, lucky], SPACE, MARGIN)
    assert chosen.params != lucky[0]
    assert hill(chosen.params) > 0.897


def test_the_smoothed_score_holds_little_of_the_luck_that_the_best_trial_had() -> None:
    luck, lost = {"smoothed": 0.0, "luckiest": 0.0}, {"smoothed": 0.0, "luckiest": 0.0}
    for seed in range(12):
        trials = history(32, noise=0.004, seed=seed)
        settlement = settle(trials, SPACE, MARGIN)
        for name, params, score in (
            ("smoothed", dict(settlement.params), settlement.score),
            ("luckiest", *max(trials, key=lambda trial: trial[1])),
        ):
            luck[name] += (score - hill(params)) / 12
            lost[name] += (0.9 - hill(params)) / 12
    assert luck["luckiest"] > 0.004
    assert abs(luck["smoothed"]) < 0.0015
    assert lost["smoothed"] < lost["luckiest"]


def test_the_remaining_gain_falls_with_trials_until_the_search_is_settled() -> None:
    found = [settle(history(n, noise=0.001), SPACE, MARGIN) for n in (6, 16, 64)]
    assert [each.is_settled for each in found] == [False, found[1].remaining_gain < SETTLED_SHARE * MARGIN, True]
    assert found[0].remaining_gain > found[1].remaining_gain > found[2].remaining_gain > 0


def test_params_that_matter_little_are_settled_soon() -> None:
    assert settle(history(8, lambda params: 0.95 + 0.01 * (hill(params) - 0.9), noise=0.0005), SPACE, MARGIN).is_settled


def test_too_few_trials_are_never_settled() -> None:
    found = settle(history(3), SPACE, MARGIN)
    assert not found.is_settled
    assert found.remaining_gain == math.inf


def test_an_arm_without_anything_to_search_is_settled() -> None:
    fixed = {"ft_lr": Domain(name="ft_lr", low=1e-3, high=1e-3)}
    found = settle([({"ft_lr": 1e-3}, 0.9)], fixed, MARGIN)
    assert (found.is_settled, found.remaining_gain, found.params) == (True, 0.0, {"ft_lr": 1e-3})


@pytest.mark.parametrize(("best_rate", "end", "value"), [(1e-1, "high", 1e-2), (1e-5, "low", 1e-4)])
def test_an_optimum_beyond_a_range_is_told_as_an_edge(best_rate: float, end: Any, value: float) -> None:
    found = settle(history(24, lambda params: hill(params, best_rate=best_rate)), SPACE, MARGIN)
    assert found.edges == (Edge("ft_lr", end, value),)
    assert str(found.edges[0]).startswith(f"ft_lr at {value:g}, the {'upper' if end == 'high' else 'lower'} end")


def test_an_optimum_inside_and_a_range_without_effect_are_no_edges() -> None:
    for seed in range(4):
        assert settle(history(24, noise=0.001, seed=seed), SPACE, MARGIN).edges == ()


def test_diverged_trials_push_the_choice_away_and_are_never_chosen() -> None:
    trials = [
        (params, -math.inf if params["ft_lr"] > 2e-3 else score)
        for params, score in history(24, lambda params: hill(params, best_rate=1e-2))
    ]
    assert settle(trials, SPACE, MARGIN).params["ft_lr"] <= 2e-3
    with pytest.raises(ValueError, match="no trial has a score"):
        settle([(params, -math.inf) for params, _ in trials], SPACE, MARGIN)


def test_choices_are_searched_beside_ranges() -> None:
    space = {**SPACE, "drop_path_mode": MODE}
    trials = history(32, lambda params: hill(params) - 0.01 * (params["drop_path_mode"] == "batch"), space=space)
    assert settle(trials, space, MARGIN).params["drop_path_mode"] == "sample"


def test_a_trial_tried_again_with_another_seed_counts_twice() -> None:
    trials = history(24, noise=0.002)
    again = [(dict(params), score - 0.004) for params, score in sorted(trials, key=lambda trial: -trial[1])[:1]]
    assert settle([*trials, *again], SPACE, MARGIN).score < settle(trials, SPACE, MARGIN).score


def test_very_many_trials_are_told_by_the_best_and_some_of_the_others() -> None:
    trials = history(128) * 8
    scores = np.array([score for _, score in trials]) + np.linspace(0, 1e-3, len(trials))
    kept = telling(scores)
    assert len(set(kept.tolist())) == len(kept) < 200
    assert set(np.argsort(-scores)[:50].tolist()) <= set(kept.tolist())
    assert telling(scores[:100]).tolist() == list(range(100))


def test_equal_histories_give_equal_bits() -> None:
    assert settle(history(24, noise=0.002), SPACE, MARGIN) == settle(history(24, noise=0.002), SPACE, MARGIN)
