"""What a few noisy scores say about the score everywhere: a Gaussian process over the unit cube.

Small and exact on purpose: the same history gives the same bits in every process of a machine, which a study that is
filled by many agents needs. Kernel: Matérn 5/2 with a length for each coordinate, plus noise; lengths, signal and noise
are the most probable ones under weak priors.

Source: Rasmussen and Williams 2006, equations 2.23-2.24, 4.17 and 5.8-5.9; the priors are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize, spatial

# Mean and standard deviation of the logarithm: lengths in parts of a range, variances in parts of the scores'.
_LENGTH_PRIOR = (0.0, 0.7)
_SIGNAL_PRIOR = (math.log(3.0), 1.0)
_NOISE_PRIOR = (math.log(0.1), 1.0)
_LEAST_NOISE = 1e-4
_JITTER = 1e-8
_N_PROPOSED = 64
_ROOT5 = math.sqrt(5)


@dataclass(frozen=True)
class Posterior:
    """The distribution of the score's mean given what was measured.

    Attributes:
        centre, spread: of the measured scores; the process itself is standardised.
        lengths: by coordinate, how far apart points differ.
        signal, noise: variances, standardised.
    """

    points: Float[np.ndarray, "trial coordinate"]
    centre: float
    spread: float
    lengths: Float[np.ndarray, "coordinate"]
    signal: float
    noise: float
    factor: Float[np.ndarray, "trial trial"]
    weights: Float[np.ndarray, "trial"]

    @property
    def noise_sd(self) -> float:
        """Standard deviation of one score about the mean, in the unit of the scores."""
        return self.spread * math.sqrt(self.noise)

    def mean(self, at: Float[np.ndarray, "point coordinate"]) -> Float[np.ndarray, "point"]:
        """Expected score at each point."""
        return np.asarray(self.centre + self.spread * (self._kernel(at, self.points) @ self.weights))

    def draws(
        self, at: Float[np.ndarray, "point coordinate"], *, n_draws: int, seed: int
    ) -> Float[np.ndarray, "draw point"]:
        """Joint draws of the score at all points, without the noise of a trial."""
        across = self._kernel(at, self.points)
        half = linalg.solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        covariance = self._kernel(at, at) - half.T @ half
        covariance[np.diag_indices_from(covariance)] += 1e-6 * self.signal
        root = linalg.cholesky(covariance, lower=True, check_finite=False)
        normal = np.random.default_rng(seed).standard_normal((n_draws, len(at)))
        return np.asarray(self.centre + self.spread * (across @ self.weights + normal @ root.T))

    def _kernel(
        self, one: Float[np.ndarray, "a coordinate"], other: Float[np.ndarray, "b coordinate"]
    ) -> Float[np.ndarray, "a b"]:
        distance = spatial.distance.cdist(one / self.lengths, other / self.lengths)
        return np.asarray(self.signal * _matern(distance))


def fit(points: Float[np.ndarray, "trial coordinate"], scores: Float[np.ndarray, "trial"]) -> Posterior:
    """What ``scores`` at ``points`` of the unit cube say, at the most probable lengths and variances."""
    problem = _Problem(points, scores)
    return problem.posterior(problem.most_probable())


def fits(
    points: Float[np.ndarray, "trial coordinate"], scores: Float[np.ndarray, "trial"], *, n: int, seed: int
) -> list[Posterior]:
    """``n`` posteriors, each as probable as the others, at lengths and variances that the scores leave open.

    A few trials leave much open: at the most probable values alone a search believes that it is done too early. Drawn
    from a normal distribution about the most probable ones, with the curvature there, and resampled by what they weigh.
    """
    problem, random = _Problem(points, scores), np.random.default_rng(seed)
    centre = problem.most_probable()
    root = problem.spread(centre)
    standard = random.standard_normal((_N_PROPOSED, len(centre)))
    proposed = np.clip(centre + standard @ root.T, *np.array(problem.bounds).T)
    weights = np.array([-problem.loss(theta)[0] for theta in proposed]) + 0.5 * (standard**2).sum(axis=1)
    shares = np.cumsum(np.exp(weights - weights.max()))
    places = np.searchsorted(shares / shares[-1], (np.arange(n) + random.random()) / n)
    return [problem.posterior(proposed[place]) for place in np.minimum(places, _N_PROPOSED - 1)]


def mean_of(posteriors: Sequence[Posterior], at: Float[np.ndarray, "point coordinate"]) -> Float[np.ndarray, "point"]:
    """Expected score at each point, over all of them."""
    return np.asarray(np.mean([posterior.mean(at) for posterior in posteriors], axis=0))


class _Problem:
    """Standardised scores, and how probable lengths and variances are given them."""

    def __init__(self, points: Float[np.ndarray, "trial coordinate"], scores: Float[np.ndarray, "trial"]) -> None:
        self._points, self._centre, self._scale = points, float(scores.mean()), float(scores.std()) or 1.0
        self._standard = (scores - self._centre) / self._scale
        self._squares = (points[:, None, :] - points[None, :, :]) ** 2
        n_coordinates = points.shape[1]
        self.bounds = [(math.log(0.05), math.log(20.0))] * n_coordinates
        self.bounds += [(math.log(1e-2), math.log(1e2)), (math.log(_LEAST_NOISE), math.log(4.0))]
        self._start = np.array([_LENGTH_PRIOR[0]] * n_coordinates + [_SIGNAL_PRIOR[0], _NOISE_PRIOR[0]])

    def loss(self, theta: Float[np.ndarray, "parameter"]) -> tuple[float, Float[np.ndarray, "parameter"]]:
        """Minus the log probability, and its gradient."""
        return _loss(theta, self._squares, self._standard)

    def most_probable(self) -> Float[np.ndarray, "parameter"]:
        """Logarithms of lengths, signal and noise."""
        optimum = optimize.minimize(self.loss, self._start, jac=True, bounds=self.bounds, method="L-BFGS-B")
        return np.asarray(optimum.x)

    def spread(self, centre: Float[np.ndarray, "parameter"]) -> Float[np.ndarray, "parameter parameter"]:
        """Root of the covariance that the curvature at ``centre`` stands for; at least as tight as the priors."""
        steps = np.eye(len(centre)) * 1e-3
        slopes = [(self.loss(centre + step)[1] - self.loss(centre - step)[1]) / 2e-3 for step in steps]
        curvature, directions = np.linalg.eigh((np.array(slopes) + np.array(slopes).T) / 2)
        return np.asarray(directions / np.sqrt(np.maximum(curvature, 1.0)))

    def posterior(self, theta: Float[np.ndarray, "parameter"]) -> Posterior:
        """Given the scores, at these lengths and variances."""
        lengths, signal, noise = np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1]))
        distance = np.sqrt((self._squares / lengths**2).sum(axis=2))
        factor = linalg.cholesky(_noisy(signal * _matern(distance), noise), lower=True, check_finite=False)
        weights = linalg.cho_solve((factor, True), self._standard, check_finite=False)
        return Posterior(self._points, self._centre, self._scale, lengths, signal, noise, factor, weights)


def _loss(
    theta: Float[np.ndarray, "parameter"],
    squares: Float[np.ndarray, "trial trial coordinate"],
    standard: Float[np.ndarray, "trial"],
) -> tuple[float, Float[np.ndarray, "parameter"]]:
    """Minus the log probability of ``theta``, the logarithms of lengths, signal and noise, and its gradient."""
    scaled = squares / np.exp(2 * theta[:-2])
    signal, noise = math.exp(theta[-2]), math.exp(theta[-1])
    distance = np.sqrt(scaled.sum(axis=2))
    clean = signal * _matern(distance)
    factor = linalg.cholesky(_noisy(clean, noise), lower=True, check_finite=False)
    inverse = linalg.cho_solve((factor, True), np.eye(len(standard)), check_finite=False)
    weights = inverse @ standard
    outer = np.outer(weights, weights) - inverse
    slope = signal * 5 / 3 * (1 + _ROOT5 * distance) * np.exp(-_ROOT5 * distance) * outer
    gradient = np.concatenate(
        [0.5 * np.einsum("ij,ijk->k", slope, scaled), [0.5 * (outer * clean).sum(), 0.5 * noise * np.trace(outer)]]
    )
    likelihood = -0.5 * float(standard @ weights) - float(np.log(np.diag(factor)).sum())
    centre = np.array([_LENGTH_PRIOR[0]] * (len(theta) - 2) + [_SIGNAL_PRIOR[0], _NOISE_PRIOR[0]])
    width = np.array([_LENGTH_PRIOR[1]] * (len(theta) - 2) + [_SIGNAL_PRIOR[1], _NOISE_PRIOR[1]])
    off = (theta - centre) / width
    return 0.5 * float(off @ off) - likelihood, off / width - gradient


def _matern(distance: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
    scaled = _ROOT5 * distance
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


def _noisy(clean: Float[np.ndarray, "trial trial"], noise: float) -> Float[np.ndarray, "trial trial"]:
    return clean + (noise + _JITTER) * np.eye(len(clean))
