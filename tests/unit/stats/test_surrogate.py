import numpy as np
import pandas as pd
import pytest

from ablate.domain import Domain
from ablate.stats.surrogate import design_matrix, effect_variances, refit, sample

SPACE = {
    "a": Domain(name="a", high=1.0),
    "b": Domain(name="b", high=1.0),
    "mode": Domain(name="mode", choices=("x", "y")),
}


def trials(n_trials: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"a": rng.random(n_trials), "b": rng.random(n_trials), "mode": rng.choice(["x", "y"], n_trials)}
    )


def test_effects_are_all_parameters_and_pairs() -> None:
    of = design_matrix(trials(5), SPACE)
    assert of.effects == (("a",), ("b",), ("mode",), ("a", "b"), ("a", "mode"), ("b", "mode"))
    assert of.functions.shape == (5, len(of.effect)) == (5, len(of.extra_degree))
    assert (np.bincount(of.effect, of.extra_degree == 0) >= 1).all()


def test_functions_of_different_effects_are_orthonormal_over_the_space() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(14)
    grid = [(a, b, mode) for a in range(14) for b in range(14) for mode in ("x", "y")]
    params = pd.DataFrame(
        {"a": [(nodes[a] + 1) / 2 for a, _, _ in grid], "b": [(nodes[b] + 1) / 2 for _, b, _ in grid]}
    )
    params["mode"] = [mode for _, _, mode in grid]
    weight = np.array([weights[a] * weights[b] / 8 for a, b, _ in grid])
    functions = design_matrix(params, SPACE).functions
    np.testing.assert_allclose(functions.T @ (functions * weight[:, None]), np.eye(functions.shape[1]), atol=1e-10)


def test_strength_is_learned_for_each_effect() -> None:
    params = trials(60)
    of = design_matrix(params, SPACE)
    posterior = sample(of, np.sin(5 * params["a"].to_numpy()), n_draws=200, seed=0)
    strength = np.array([posterior.prior_variance[(of.effect == k) & (of.extra_degree == 0)].mean() for k in range(6)])
    assert strength[0] > 20 * strength[1:].max()
    assert effect_variances(of, posterior.coefficients).mean(axis=0).argmax() == 0


def test_noise_is_learned() -> None:
    params = trials(200)
    values = params["a"].to_numpy() + np.random.default_rng(1).normal(0, 0.5, 200)
    posterior = sample(design_matrix(params, SPACE), values, n_draws=200, seed=0)
    assert np.sqrt(posterior.noise_variance.mean()) == pytest.approx(0.5, rel=0.15)


def test_equal_weights_refit_the_posterior_mean() -> None:
    params = trials(80)
    of, values = design_matrix(params, SPACE), params["a"].to_numpy() * (1 + params["b"].to_numpy())
    posterior = sample(of, values + 0.01 * np.random.default_rng(2).normal(size=80), n_draws=300, seed=0)
    again = refit(of, values, posterior, [np.ones(80)])[0]
    np.testing.assert_allclose(again, posterior.coefficients.mean(axis=0), atol=0.02)
