"""Functional ANOVA on functions whose shares are known, and beside Optuna's evaluators."""

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.importance import FanovaImportanceEvaluator

from ablate.domain import Domain
from ablate.stats.importance import importance

SHARES = np.array([0.81, 0.10, 0.08, 0.01])
SPACE = {name: Domain(name=name, high=1.0) for name in "abcd"}


def linear(points: np.ndarray) -> np.ndarray:
    return (2 * points - 1) @ np.sqrt(3 * SHARES)


def curved(points: np.ndarray) -> np.ndarray:
    u = 2 * points - 1
    parts = [
        np.sqrt(3) * u[:, 0],
        np.sqrt(3) * u[:, 1],
        (u[:, 2] ** 2 - 1 / 3) / np.sqrt(4 / 45),
        np.sqrt(2) * np.sin(2 * np.pi * points[:, 3]),
    ]
    return np.stack(parts, axis=1) @ np.sqrt(SHARES)


@pytest.mark.parametrize("function", [linear, curved])
def test_true_order_and_shares_in_twenty_studies_of_sixty_trials(function: object) -> None:
    ordered = covered = 0
    for seed in range(20):
        points = np.random.default_rng([1, seed]).random((60, 4))
        found = importance(
            pd.DataFrame(points, columns=list("abcd")), function(points), SPACE, n_draws=200, n_resamples=2, seed=seed
        )
        ordered += sorted(found.main, key=lambda name: -found.main[name].mean) == list("abcd")
        covered += sum(
            share.low - 1e-3 <= true <= share.high + 1e-3
            for share, true in zip(found.main.values(), SHARES, strict=True)
        )
    assert ordered >= 19
    assert covered >= 0.95 * 80


def test_ishigami() -> None:
    """Known in closed form: first-order shares .3139, .4424, 0 and an interaction of the first and third of .2437."""
    points = np.random.default_rng(0).uniform(-np.pi, np.pi, (400, 3))
    values = np.sin(points[:, 0]) + 7 * np.sin(points[:, 1]) ** 2 + 0.1 * points[:, 2] ** 4 * np.sin(points[:, 0])
    space = {name: Domain(name=name, low=-np.pi, high=np.pi) for name in "abc"}
    found = importance(pd.DataFrame(points, columns=list("abc")), values, space, n_resamples=2)
    assert found.main["a"].mean == pytest.approx(0.314, abs=0.05)
    assert found.main["b"].mean == pytest.approx(0.442, abs=0.05)
    assert found.main["c"].mean == pytest.approx(0, abs=0.02)
    assert found.pairs["a", "c"].mean == pytest.approx(0.244, abs=0.08)


def test_agrees_with_optunas_forest_where_the_forest_can_tell() -> None:
    points = np.random.default_rng(3).random((150, 4))
    values = linear(points)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    optuna.logging.set_verbosity(verbosity)
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in SPACE}
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(SPACE, point, strict=True)), distributions=distributions, value=value
            )
            for point, value in zip(points.tolist(), values.tolist(), strict=True)
        ]
    )
    forest = FanovaImportanceEvaluator(seed=0, n_trees=32).evaluate(study)
    found = importance(pd.DataFrame(points, columns=list(SPACE)), values, SPACE, n_resamples=2)
    assert max(forest, key=lambda name: forest[name]) == "a" == max(found.main, key=lambda name: found.main[name].mean)
    assert min(forest, key=lambda name: forest[name]) == "d" == min(found.main, key=lambda name: found.main[name].mean)
    assert found.main["a"].mean == pytest.approx(forest["a"], abs=0.1)
    assert set(found.ped_anova) == set(SPACE)
    assert sum(found.ped_anova.values()) == pytest.approx(1)
