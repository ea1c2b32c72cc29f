import numpy as np
import pandas as pd
import pytest

from ablate.domain import Domain
from ablate.errors import DataError, SpecError
from ablate.stats.importance import importance

SPACE = {name: Domain(name=name, high=1.0) for name in "abcd"}
SHARES = {"a": 0.81, "b": 0.10, "c": 0.08, "d": 0.01}


def trials(n_trials: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).random((n_trials, len(SPACE))), columns=list(SPACE))


def additive(params: pd.DataFrame) -> np.ndarray:
    """Its shares are SHARES: a sum of functions of variance 1, times the roots."""
    u = 2 * params - 1
    parts = {
        "a": np.sqrt(3) * u["a"],
        "b": -np.sqrt(3) * u["b"],
        "c": (u["c"] ** 2 - 1 / 3) / np.sqrt(4 / 45),
        "d": np.sqrt(2) * np.sin(2 * np.pi * params["d"]),
    }
    return np.asarray(sum(np.sqrt(SHARES[name]) * part for name, part in parts.items()))


def test_known_shares() -> None:
    found = importance(trials(60, 1), additive(trials(60, 1)), SPACE)
    for name, share in SHARES.items():
        assert found.main[name].mean == pytest.approx(share, abs=0.005)
        assert found.main[name].low - 0.001 <= share <= found.main[name].high + 0.001
    assert max(pair.high for pair in found.pairs.values()) < 0.005
    assert sum(share.mean for share in [*found.main.values(), *found.pairs.values()]) == pytest.approx(1)
    assert found.explained.mean > 0.99
    assert found.stable
    assert found.statement.startswith("stable: a > b > c held in 100 %")


def test_known_interaction() -> None:
    params = trials(80, 2)
    u = 2 * params - 1
    values = np.sqrt(3) * u["a"] * np.sqrt(0.5) + 3 * u["b"] * u["c"] * np.sqrt(0.5)
    found = importance(params, values.to_numpy(), SPACE)
    assert found.main["a"].mean == pytest.approx(0.5, abs=0.03)
    assert found.pairs["b", "c"].mean == pytest.approx(0.5, abs=0.03)
    assert found.main["b"].high < 0.05


def test_noise_widens_intervals_and_is_not_explained() -> None:
    params = trials(60, 3)
    clean = importance(params, additive(params), SPACE)
    noisy = importance(params, additive(params) + np.random.default_rng(3).normal(0, 1, 60), SPACE)
    assert noisy.explained.high < 0.9 < clean.explained.low
    assert noisy.main["a"].high - noisy.main["a"].low > 5 * (clean.main["a"].high - clean.main["a"].low)
    assert not noisy.stable
    assert "more trials are needed" in noisy.statement


def test_choices_integers_and_logarithms() -> None:
    rng = np.random.default_rng(0)
    space = {
        "lr": Domain(name="lr", low=1e-5, high=1e-2, log=True),
        "epochs": Domain(name="epochs", low=0, high=10, integer=True),
        "mode": Domain(name="mode", choices=("sample", "batch", "fixed")),
        "idle": Domain(name="idle", high=1.0),
    }
    params = pd.DataFrame(
        {
            "lr": 10 ** rng.uniform(-5, -2, 80),
            "epochs": rng.integers(0, 11, 80),
            "mode": rng.choice(["sample", "batch", "fixed"], 80),
            "idle": rng.random(80),
        }
    )
    values = (
        np.log10(params["lr"]) / np.sqrt(0.75) + (params["epochs"] - 5) / np.sqrt(10) + 3 * (params["mode"] == "batch")
    )
    found = importance(params, values.to_numpy(), space)
    mode_variance = 9 * 2 / 9
    for name, variance in {"lr": 1, "epochs": 1, "mode": mode_variance, "idle": 0}.items():
        assert found.main[name].mean == pytest.approx(variance / (2 + mode_variance), abs=0.03)
    assert found.main["idle"].low == 0
    curve = found.curves["mode"]
    assert curve.values == ("sample", "batch", "fixed")
    assert curve.mean[1] - curve.mean[0] == pytest.approx(3, abs=0.1)


def test_curves_follow_the_function_within_their_band() -> None:
    within = []
    for seed in range(6):
        params = trials(60, seed)
        noise = 0.1 * np.random.default_rng([9, seed]).normal(size=60)
        curve = importance(params, additive(params) + noise, SPACE, n_draws=200, n_resamples=2).curves["c"]
        truth = np.sqrt(SHARES["c"]) * ((2 * np.array(curve.values) - 1) ** 2 - 1 / 3) / np.sqrt(4 / 45)
        assert np.abs(curve.mean - truth).max() < 0.3
        within.append(((curve.low <= truth) & (truth <= curve.high)).mean())
    assert np.mean(within) > 0.85


def test_the_same_seed_gives_the_same_bits() -> None:
    params = trials(30, 1)
    first, again = (importance(params, additive(params), SPACE, n_draws=50, n_resamples=10) for _ in range(2))
    assert first.main == again.main
    assert first.stability == again.stability


def test_parameters_without_variation_are_left_out_and_named() -> None:
    params = trials(30, 1).assign(b=0.5, d=np.nan)
    found = importance(params, additive(trials(30, 1)), SPACE, n_draws=50, n_resamples=10)
    assert found.left_out == {"b": "the same in all trials", "d": "no trial has it"}
    assert set(found.main) == {"a", "c"}


def test_a_conditional_parameter_is_refused_across_arms() -> None:
    params = trials(30, 1)
    params.loc[:9, "b"] = np.nan
    with pytest.raises(SpecError, match="b: 10 of 30 trials do not have it"):
        importance(params, additive(trials(30, 1)), SPACE)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.arange(9.0), "9 finished trials; expected at least 10"),
        (np.ones(12), "same value"),
        (np.full(12, np.nan), "12 values are not finite"),
    ],
)
def test_too_little_to_attribute(values: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        importance(trials(len(values), 0), values, SPACE)


def test_rows_and_values_must_match() -> None:
    with pytest.raises(DataError, match="12 rows for 11 values"):
        importance(trials(12, 0), np.arange(11.0), SPACE)


def test_nothing_varies() -> None:
    with pytest.raises(SpecError, match="nothing to attribute"):
        importance(trials(12, 0) * 0, np.arange(12.0), SPACE)
