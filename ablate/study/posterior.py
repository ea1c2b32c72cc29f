"""What a few noisy scores say about the score everywhere: a Gaussian process over the unit cube.

Small and exact on purpose: the same history gives the same bits in every process of a machine, which a study that is
filled by many agents needs. Kernel: Matérn 5/2 with a length for each coordinate, plus noise; lengths, signal and noise
are the most probable ones under weak priors.

Source: Rasmussen and Williams 2006, equations 2.23-2.24, 4.17 and 5.8-5.9; the priors are ours.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize

# Mean and standard deviation of the logarithm: lengths in parts of a range, variances in parts of the scores'.
_LENGTH_PRIOR = (math.log(1.5), 0.7)
_SIGNAL_PRIOR = (math.log(3.0), 1.0)
_NOISE_PRIOR = (math.log(0.1), 1.0)
_LEAST_NOISE = 1e-4
_JITTER = 1e-8
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
        distance = np.sqrt(_squares(one / self.lengths, other / self.lengths))
        return np.asarray(self.signal * _matern(distance))


def fit(points: Float[np.ndarray, "trial coordinate"], scores: Float[np.ndarray, "trial"]) -> Posterior:
    """The posterior of ``scores`` measured at ``points`` of the unit cube."""
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    standard = (scores - centre) / spread
    squares = (points[:, None, :] - points[None, :, :]) ** 2
    n_coordinates = points.shape[1]
    start = np.array([_LENGTH_PRIOR[0]] * n_coordinates + [_SIGNAL_PRIOR[0], _NOISE_PRIOR[0]])
    bounds = [(math.log(0.05), math.log(20.0))] * n_coordinates
    bounds += [(math.log(1e-2), math.log(1e2)), (math.log(_LEAST_NOISE), math.log(4.0))]
    found = optimize.minimize(_loss, start, args=(squares, standard), jac=True, bounds=bounds, method="L-BFGS-B")
    lengths, signal, noise = np.exp(found.x[:-2]), float(np.exp(found.x[-2])), float(np.exp(found.x[-1]))
    distance = np.sqrt((squares / lengths**2).sum(axis=2))
    factor = linalg.cholesky(_noisy(signal * _matern(distance), noise), lower=True, check_finite=False)
    weights = linalg.cho_solve((factor, True), standard, check_finite=False)
    return Posterior(points, centre, spread, lengths, signal, noise, factor, weights)


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


def _squares(
    one: Float[np.ndarray, "a coordinate"], other: Float[np.ndarray, "b coordinate"]
) -> Float[np.ndarray, "a b"]:
    """Squared distances, each to the last bit that subtraction gives: close points are compared too."""
    return np.asarray(((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=2))
