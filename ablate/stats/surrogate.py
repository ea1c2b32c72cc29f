"""A model of the objective over the search space that is split into main effects and pairwise interactions by design.

The objective is a sum of orthonormal functions of one and of two parameters, so the variance that each parameter
explains over the space is the sum of its squared coefficients: functional ANOVA in closed form, whatever points were
sampled. Coefficients, noise, the strength of each effect and its smoothness are drawn from their posterior together, so
that the intervals know all of what 60 trials leave open. A random forest needs many more trials for less: see
``benchmarks/importance.md``.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import linalg

from ablate.domain import Domain
from ablate.stats.axis import degrees, functions

Effect = tuple[str, ...]  # the one or two parameters that it is of

_PAIR_DEGREE = {True: 6, False: 4}  # of an interaction's product, both factors together: few axes, many
_FEW_AXES = 5
_SCALE = {1: 1.0, 2: 0.1}  # of an effect's coefficients before any trial, values having unit variance: mains, pairs
_DECAY = np.array([0.03, 0.1, 0.2, 0.4, 0.7])  # of coefficients from degree to degree: smooth to wavy
_WARM_UP = 150


@dataclass(frozen=True)
class DesignMatrix:
    """The functions of all effects, evaluated at the trials.

    Attributes:
        effect: of each function, an index of ``effects``.
        extra_degree: of each function, above the effect's simplest.
    """

    effects: tuple[Effect, ...]
    functions: Float[np.ndarray, "trial function"]
    effect: Int[np.ndarray, "function"]
    extra_degree: Int[np.ndarray, "function"]


@dataclass(frozen=True)
class Posterior:
    """Draws from what the trials say about the objective.

    Attributes:
        intercept, coefficients, noise_variance: in units of the objective.
        prior_variance: of the coefficients, averaged over the draws.
    """

    intercept: Float[np.ndarray, "draw"]
    coefficients: Float[np.ndarray, "draw function"]
    noise_variance: Float[np.ndarray, "draw"]
    prior_variance: Float[np.ndarray, "function"]


def design_matrix(params: pd.DataFrame, space: Mapping[str, Domain]) -> DesignMatrix:
    """Functions of every parameter and every pair of ``space`` at the rows of ``params``.

    Raises:
        SpecError: a value is outside its range.
    """
    along = {name: functions(domain, params[name]) for name, domain in space.items()}
    effects: list[Effect] = [(name,) for name in space]
    columns = [along[name] for name in space]
    extra = [degrees(domain) - 1 for domain in space.values()]
    for first, second in itertools.combinations(space, 2):
        degree = np.add.outer(degrees(space[first]), degrees(space[second]))
        i, j = np.nonzero(degree <= _PAIR_DEGREE[len(space) <= _FEW_AXES])
        effects.append((first, second))
        columns.append(along[first][:, i] * along[second][:, j])
        extra.append(degree[i, j] - 2)
    index = np.repeat(np.arange(len(effects)), [column.shape[1] for column in columns])
    return DesignMatrix(tuple(effects), np.hstack(columns), index, np.concatenate(extra))


def sample(of: DesignMatrix, values: Float[np.ndarray, "trial"], *, n_draws: int, seed: int) -> Posterior:
    """Gibbs sampling of coefficients, noise, and each effect's strength and smoothness.

    Source:
        Half-Cauchy strengths by Makalic and Schmidt 2016, IEEE Signal Process. Lett. 23:179; the functional ANOVA as
        Sudret 2008, Reliab. Eng. Syst. Saf. 93:964, equation 36.
    """
    rng = np.random.default_rng(seed)
    mean, scale = float(values.mean()), float(values.std())
    target = (values - mean) / scale
    table = np.column_stack([np.ones(len(values)), of.functions])
    products, loads = table.T @ table, table.T @ target
    prior = _Prior(of)
    noise, draws = 0.1, []
    for step in range(_WARM_UP + n_draws):
        variance = np.append(10.0, prior.variance())
        coefficients = _draw_coefficients(products / noise, loads / noise, variance, rng)
        prior.update(coefficients[1:] ** 2, rng)
        residual = target - table @ coefficients
        noise = max(float(residual @ residual / 2 + 1e-6) / float(rng.gamma(len(values) / 2 + 1e-3)), 1e-7)
        if step >= _WARM_UP:
            draws.append((coefficients, noise, variance[1:]))
    coefficients = scale * np.stack([draw[0] for draw in draws])
    return Posterior(
        intercept=mean + coefficients[:, 0],
        coefficients=coefficients[:, 1:],
        noise_variance=scale**2 * np.array([draw[1] for draw in draws]),
        prior_variance=scale**2 * np.mean([draw[2] for draw in draws], axis=0),
    )


def effect_variances(
    of: DesignMatrix, coefficients: Float[np.ndarray, "draw function"]
) -> Float[np.ndarray, "draw effect"]:
    """Variance over the search space that each effect explains."""
    member = np.eye(len(of.effects))[of.effect]
    return np.asarray(coefficients**2 @ member)


def refit(
    of: DesignMatrix,
    values: Float[np.ndarray, "trial"],
    posterior: Posterior,
    weights: Sequence[Float[np.ndarray, "trial"]],
) -> Float[np.ndarray, "resample function"]:
    """Coefficients for other weights of the trials, with the posterior's mean strengths and noise."""
    table = np.column_stack([np.ones(len(values)), of.functions])
    noise = float(posterior.noise_variance.mean())
    root = np.sqrt(np.append(1e4 * values.var(), posterior.prior_variance))
    fitted = []
    for weight in weights:
        weighted = table.T * (weight / noise)
        precision = root[:, None] * (weighted @ table) * root
        precision[np.diag_indices(len(root))] += 1
        fitted.append(root * linalg.solve(precision, root * (weighted @ (values - values.mean())), assume_a="pos"))
    return np.stack(fitted)[:, 1:]


class _Prior:
    """Strength and smoothness of each effect, updated in turn."""

    def __init__(self, of: DesignMatrix) -> None:
        self._effect, self._extra, self._n_effects = of.effect, of.extra_degree, len(of.effects)
        self._size = np.bincount(of.effect)
        self._scale = np.array([_SCALE[len(effect)] for effect in of.effects]) ** 2
        self._strength, self._mixing = 0.3 * self._scale, np.ones(self._n_effects)
        self._decay = np.full(self._n_effects, 2)
        self._summed_extra = np.bincount(of.effect, of.extra_degree, minlength=self._n_effects)

    def variance(self) -> Float[np.ndarray, "function"]:
        return np.asarray(self._strength[self._effect] * self._decays())

    def _decays(self) -> Float[np.ndarray, "function"]:
        return np.asarray(_DECAY[self._decay][self._effect] ** self._extra)

    def update(self, square: Float[np.ndarray, "function"], rng: np.random.Generator) -> None:
        log_likelihood = np.stack(
            [
                -np.log(decay) * self._summed_extra / 2
                - self._by_effect(square / decay**self._extra) / (2 * self._strength)
                for decay in _DECAY
            ],
            axis=1,
        )
        chance = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True)).cumsum(axis=1)
        self._decay = (rng.random((self._n_effects, 1)) * chance[:, -1:] > chance).sum(axis=1)
        spread = self._by_effect(square / self._decays()) / 2
        self._strength = np.maximum((1 / self._mixing + spread) / rng.gamma((self._size + 1) / 2), 1e-10)
        self._mixing = (1 / self._scale + 1 / self._strength) / rng.gamma(1.0, size=self._n_effects)

    def _by_effect(self, values: Float[np.ndarray, "function"]) -> Float[np.ndarray, "effect"]:
        return np.bincount(self._effect, values, minlength=self._n_effects)


def _draw_coefficients(
    precision: Float[np.ndarray, "column column"],
    loads: Float[np.ndarray, "column"],
    variance: Float[np.ndarray, "column"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "column"]:
    """One draw of the coefficients' normal posterior; scaled by the prior so that its matrix stays well-conditioned."""
    root = np.sqrt(variance)
    scaled = root[:, None] * precision * root
    scaled[np.diag_indices(len(root))] += 1
    factor = linalg.cholesky(scaled, lower=True, check_finite=False)
    mean = linalg.cho_solve((factor, True), root * loads, check_finite=False)
    noise = linalg.solve_triangular(factor, rng.standard_normal(len(root)), trans=1, lower=True, check_finite=False)
    return np.asarray(root * (mean + noise))
