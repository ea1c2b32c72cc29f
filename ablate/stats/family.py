"""A family of contrasts judged together: how small their least p-value is by chance, given how they move together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import special, stats
from scipy.stats import qmc

from ablate.stats.two_source import TwoSource

_LOG2_DRAWS = 13
_SCORES = np.linspace(-6.5, 6.5, 521)  # normal scores at which chi-square variables are tabulated


@dataclass(frozen=True, eq=False)
class Family:
    """Joint distribution of the p-values of a family when none of its contrasts has an effect.

    Attributes:
        chance: draws of the p-values, each uniform by itself.
    """

    chance: Float[np.ndarray, "draw contrast"]
    _singles: dict[float, float] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """Declared contrasts, answered or not."""
        return int(self.chance.shape[1])

    def adjusted(self, p: float) -> float:
        """Probability that the least p-value of the family is at most ``p``; never more than ``size`` times it."""
        return _at_most(p, self._further, len(self.chance), self.size)

    def single(self, level: float) -> float:
        """Level of a single contrast at which the whole family errs with probability ``level``."""
        if level not in self._singles:
            low, high = level / self.size, level
            for _ in range(30 if self.size > 1 and level > 0 else 0):
                middle = (low + high) / 2
                low, high = (low, middle) if self.adjusted(middle) > level else (middle, high)
            self._singles[level] = low
        return self._singles[level]

    def kept(self, level: float, is_open: Bool[np.ndarray, "contrast"]) -> float:
        """What the contrasts that are still open may err with, when the family is judged at ``level``."""
        n_open = int(is_open.sum())
        if n_open in (0, self.size):
            return level if n_open else 0.0
        return min(level, _at_most(self.single(level), _further(self.chance[:, is_open]), len(self.chance), n_open))

    @cached_property
    def _further(self) -> Float[np.ndarray, "value"]:
        return _further(self.chance)


def joint(
    references: Sequence[TwoSource | None],
    seeds: Float[np.ndarray, "contrast contrast"],
    patients: Float[np.ndarray, "contrast contrast"],
) -> Family:
    """The family whose contrasts err together as their blocks and patients do.

    Args:
        references: of each contrast; None where it has no answer, which keeps its place as an independent one.
        seeds, patients: covariances of the estimates from either source; zero beside a contrast without an answer.

    Each contrast is measured against its own variance, which is estimated from few blocks. Estimates of two contrasts
    are correlated as the square of the contrasts; were they taken as one and the same, as with a pooled variance,
    p-values would seem to move together more than they do, and five blocks whose seeds rule err 6 % instead of 5.

    Source:
        The distribution of max |t| as Dunnett 1955 and Hothorn, Bretz and Westfall 2008, Biom. J. 50:346, for unpooled
        variances as Hasler and Hothorn 2008, Biom. J. 50:793; sample variances of correlated normal variables by a
        Gaussian copula.
    """
    return _joint(tuple(references), seeds.tobytes(), patients.tobytes())


@lru_cache(maxsize=64)
def _joint(references: tuple[TwoSource | None, ...], of_seeds: bytes, of_patients: bytes) -> Family:
    """Kept, since the same study is judged for page, terminal and files."""
    size = len(references)
    seeds, patients = (np.frombuffer(one).reshape(size, size) for one in (of_seeds, of_patients))
    normals = _normals(size)
    chance = 2 * special.ndtr(-np.abs(normals[:, :size]))
    by_seeds = _with_sds(seeds, [one.seeds if one else 0.0 for one in references])
    by_patients = _with_sds(patients, [one.patients if one else 0.0 for one in references])
    moved = _student(normals[:, : 2 * size], by_seeds, [one.df_seeds if one else math.inf for one in references])
    moved += _student(normals[:, 2 * size :], by_patients, [one.df_patients if one else math.inf for one in references])
    for place, one in enumerate(references):
        if one is not None and one.error:
            chance[:, place] = one.tails(np.abs(moved[:, place]))
    return Family(chance)


def _with_sds(
    covariance: Float[np.ndarray, "contrast contrast"], sds: Sequence[float]
) -> Float[np.ndarray, "contrast contrast"]:
    """The same correlations with the contrasts' own deviations.

    Contrasts with unlike numbers of blocks share the covariance of the blocks that all have; were it taken as it is,
    the p-values of those with more blocks would not be uniform by chance.
    """
    own = np.sqrt(np.maximum(np.diag(covariance), 0))
    factor = np.divide(sds, own, out=np.zeros_like(own), where=own > 0)
    scaled = covariance * np.outer(factor, factor)
    scaled[np.diag_indices_from(scaled)] = np.square(sds)
    return np.asarray(scaled)


def _further(chance: Float[np.ndarray, "draw contrast"]) -> Float[np.ndarray, "value"]:
    """All p-values but the least of each draw, in order."""
    return np.sort(np.sort(chance, axis=1)[:, 1:], axis=None)


def _at_most(p: float, further: Float[np.ndarray, "value"], n_draws: int, size: int) -> float:
    """Probability that the least of ``size`` p-values is at most ``p``.

    So many are expected at or below it, which is exact; draws are only asked how many of them come together.
    """
    together = float(np.searchsorted(further, p, side="right")) / n_draws
    return min(1.0, max(p, size * p - together))


def _root(covariance: Float[np.ndarray, "contrast contrast"]) -> Float[np.ndarray, "contrast contrast"]:
    """A matrix whose square is the covariance, variances kept; what makes it indefinite is dropped."""
    variance = np.maximum(np.diag(covariance), 0)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # an independent contrast keeps a draw of its own
    length = np.sqrt((root**2).sum(axis=1))
    return np.asarray(root * np.divide(np.sqrt(variance), length, out=np.zeros_like(length), where=length > 0)[:, None])


def _student(
    normals: Float[np.ndarray, "draw column"],
    covariance: Float[np.ndarray, "contrast contrast"],
    dfs: Sequence[float],
) -> Float[np.ndarray, "draw contrast"]:
    """Errors from one source over their estimated standard errors, times the true ones: Student's t by contrast.

    Args:
        normals: independent; the first half of the columns moves the errors, the second their estimated variances.
    """
    size = len(covariance)
    sds = np.sqrt(np.diag(covariance))
    correlation = np.divide(covariance, np.outer(sds, sds), out=np.eye(size), where=np.outer(sds, sds) > 0)
    scores = normals[:, size:] @ _root(correlation**2).T
    scales = [_scale(scores[:, place], df) for place, df in enumerate(dfs)]
    return np.asarray(normals[:, :size] @ _root(covariance).T * np.stack(scales, axis=1))


@lru_cache(maxsize=8)
def _normals(size: int) -> Float[np.ndarray, "draw column"]:
    """Evenly spread draws, the same at every call: a verdict must not hang on luck."""
    points = qmc.Sobol(4 * size, seed=0).random_base2(_LOG2_DRAWS)
    return np.asarray(special.ndtri(np.clip(points, 1e-9, 1 - 1e-9)))


def _scale(scores: Float[np.ndarray, "draw"], df: float) -> Float[np.ndarray, "draw"]:
    """What makes a normal variable one of Student's: the root of degrees of freedom over a chi-square variable."""
    if df > 100 or df != round(df):  # few different ones, so that they can be kept; rounded to the wide side
        df = 1.05 ** math.floor(math.log(min(df, 1e6)) / math.log(1.05))
    return np.asarray(np.interp(scores, _SCORES, _chi_scale(df)))


@lru_cache(maxsize=512)
def _chi_scale(df: float) -> Float[np.ndarray, "score"]:
    return np.asarray(np.sqrt(df / np.maximum(stats.chi2.ppf(special.ndtr(_SCORES), df), 1e-12)))
