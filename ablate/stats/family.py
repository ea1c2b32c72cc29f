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

    Source:
        The distribution of max |t| as Dunnett 1955 and Hothorn, Bretz and Westfall 2008, Biom. J. 50:346; the seeds'
        and the patients' t variables have a scale each that all contrasts share.
    """
    return _joint(tuple(references), seeds.tobytes(), patients.tobytes())


@lru_cache(maxsize=64)
def _joint(references: tuple[TwoSource | None, ...], of_seeds: bytes, of_patients: bytes) -> Family:
    """Kept, since the same study is judged for page, terminal and files."""
    size = len(references)
    seeds, patients = (np.frombuffer(one).reshape(size, size) for one in (of_seeds, of_patients))
    normals = special.ndtri(_uniforms(size)[:, 2:])
    chance = 2 * special.ndtr(-np.abs(normals[:, :size]))
    of_source = (
        normals[:, :size] @ _root(_with_sds(seeds, [one.seeds if one else 0.0 for one in references])).T,
        normals[:, size:] @ _root(_with_sds(patients, [one.patients if one else 0.0 for one in references])).T,
    )
    for place, one in enumerate(references):
        if one is not None and one.error:
            moved = of_source[0][:, place] * _scale(size, 0, one.df_seeds)[:, 0]
            moved += of_source[1][:, place] * _scale(size, 1, one.df_patients)[:, 0]
            chance[:, place] = one.tails(np.abs(moved))
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


@lru_cache(maxsize=8)
def _uniforms(size: int) -> Float[np.ndarray, "draw column"]:
    """Evenly spread draws, the same at every call: a verdict must not hang on luck."""
    points = qmc.Sobol(2 * size + 2, seed=0).random_base2(_LOG2_DRAWS)
    return np.asarray(np.clip(points, 1e-9, 1 - 1e-9))


def _scale(size: int, column: int, df: float) -> Float[np.ndarray, "draw one"]:
    """What makes a normal variable one of Student's: the root of degrees of freedom over a chi-square variable."""
    if df > 100 or df != round(df):  # few different ones, so that they can be kept; rounded to the wide side
        df = 1.05 ** math.floor(math.log(min(df, 1e6)) / math.log(1.05))
    return _chi_scale(size, column, df)


@lru_cache(maxsize=512)
def _chi_scale(size: int, column: int, df: float) -> Float[np.ndarray, "draw one"]:
    points = _uniforms(size)[:, column, None]
    return np.asarray(np.sqrt(df / np.maximum(stats.chi2.ppf(points, df), 1e-12)))
