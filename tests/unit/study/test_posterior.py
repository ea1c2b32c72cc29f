"""The Gaussian process: exact against the textbook's formulas, and right about functions that it was not shown."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.stats import qmc

from ablate.study import posterior
from ablate.study.posterior import fit, fits


def hill(points: np.ndarray) -> np.ndarray:
    return -((points[:, 0] - 0.3) ** 2) - 0.1 * points[:, 1]


def measured(n: int, *, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    points = qmc.Sobol(3, seed=seed).random(128)[:n]
    return points, hill(points) + np.random.default_rng(seed).normal(0, noise, n)


def test_the_gradient_of_the_loss_is_that_of_finite_differences() -> None:
    points, scores = measured(16, noise=0.05)
    squares = (points[:, None] - points[None]) ** 2
    standard = (scores - scores.mean()) / scores.std()
    for theta in np.random.default_rng(1).normal(-0.5, 0.7, (5, 5)):
        slope = posterior._loss(theta, squares, standard)[1]
        numeric = optimize.approx_fprime(theta, lambda at: posterior._loss(at, squares, standard)[0], 1e-6)
        np.testing.assert_allclose(slope, numeric, rtol=1e-3, atol=1e-4)


def test_the_loss_is_minus_the_density_of_a_normal_distribution_and_of_the_priors() -> None:
    points, scores = measured(12, noise=0.05)
    theta = np.array([-0.3, 0.2, 0.1, 0.4, -2.0])
    distance = np.sqrt((((points[:, None] - points[None]) / np.exp(theta[:3])) ** 2).sum(axis=2))
    root = np.sqrt(5) * distance
    covariance = np.exp(0.4) * (1 + root + root**2 / 3) * np.exp(-root) + np.exp(-2.0) * np.eye(12)
    priors = [posterior._LENGTH_PRIOR] * 3 + [posterior._SIGNAL_PRIOR, posterior._NOISE_PRIOR]
    expected = -stats.multivariate_normal(cov=covariance).logpdf(scores) - sum(
        stats.norm(*prior).logpdf(at) + np.log(prior[1] * np.sqrt(2 * np.pi))
        for prior, at in zip(priors, theta, strict=True)
    )
    squares = (points[:, None] - points[None]) ** 2
    found = posterior._loss(theta, squares, scores)[0]
    assert found + 6 * np.log(2 * np.pi) == pytest.approx(expected, rel=1e-6)


def test_it_predicts_points_that_it_was_not_shown_and_finds_the_noise() -> None:
    found = fit(*measured(64, noise=0.02))
    others = qmc.Sobol(3, seed=9).random(128)
    error = found.mean(others) - hill(others)
    assert np.sqrt((error**2).mean()) < 0.02
    assert 0.01 < found.noise_sd < 0.03
    assert found.lengths[2] > 3 * found.lengths[0]  # the third coordinate does nothing


def test_draws_have_the_mean_of_the_posterior_and_cover_the_truth() -> None:
    others = qmc.Sobol(3, seed=9).random(64)
    inside = []
    for seed in range(8):
        found = fit(*measured(24, noise=0.03, seed=seed))
        draws = found.draws(others, n_draws=2000, seed=1)
        np.testing.assert_allclose(draws.mean(axis=0), found.mean(others), atol=0.01)
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        inside.append(((low < hill(others)) & (hill(others) < high)).mean())
    assert 0.75 < np.mean(inside) <= 1


def test_a_few_trials_leave_lengths_open_and_many_do_not() -> None:
    spread = [
        np.std([np.log(found.lengths[0]) for found in fits(*measured(n, noise=0.02), n=16, seed=0)]) for n in (6, 96)
    ]
    assert spread[1] < 0.5 * spread[0]


def test_posteriors_over_lengths_cover_the_truth_more_often_than_the_most_probable_one() -> None:
    others, inside = qmc.Sobol(3, seed=9).random(64), {"one": 0.0, "all": 0.0}
    for seed in range(8):
        points, scores = measured(8, noise=0.02, seed=seed)
        draws = {
            "one": fit(points, scores).draws(others, n_draws=512, seed=1),
            "all": np.concatenate(
                [one.draws(others, n_draws=32, seed=1) for one in fits(points, scores, n=16, seed=0)]
            ),
        }
        for name, drawn in draws.items():
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
            inside[name] += ((low < hill(others)) & (hill(others) < high)).mean() / 8
    assert inside["one"] < inside["all"]
    assert inside["all"] > 0.8


def test_equal_histories_give_equal_bits() -> None:
    others = qmc.Sobol(3, seed=9).random(32)
    first, second = (fit(*measured(24, noise=0.03)).draws(others, n_draws=64, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_equal_scores_are_no_error() -> None:
    points, _ = measured(8, noise=0)
    np.testing.assert_allclose(fit(points, np.full(8, 0.9)).mean(points), 0.9)
