"""Looks at a growing number of blocks: how much error each may spend, so that all of them together keep the level.

At look k the difference has variance V_P + s² / S_k. What the patients have in common is the same at every look, so the
differences at looks j < k have covariance V_P + s² / S_k: increments are independent on the scale of information
1 / (V_P + s² / S), and Lan and DeMets' spending applies to it although no block adds patients.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import special

_LEVELS = np.geomspace(1e-9, 0.999, 48)  # of whole tests, between which sequential p-values are interpolated
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_MOST_SCORE = 12.0  # beyond, a normal score cannot be told from infinity
_LEAST_STEP = 1e-4  # of information: a look that adds less is no look


def information_fractions(
    n_units: Sequence[int], *, var_seeds: float, var_patients: float, most: int
) -> Float[np.ndarray, "look"]:
    """Information of each look as a share of that with the ``most`` units; 1 from there on."""
    if var_seeds + var_patients <= 0:
        return np.minimum(1.0, np.array(n_units) / most)
    last = var_patients + var_seeds / most
    # Rounded, since they are estimates and the same ones need not be computed again.
    return np.array([min(1.0, round(last / (var_patients + var_seeds / n), 2)) for n in n_units])


def spent(level: Float[np.ndarray, "level"], fraction: float) -> Float[np.ndarray, "level"]:
    """Error of a two-sided test that may be spent up to a fraction of the information.

    Source:
        Lan and DeMets 1983, Biometrika 70:659, the spending like O'Brien and Fleming's.
    """
    if fraction >= 1:
        return np.asarray(level)
    return np.asarray(4 * special.ndtr(-special.ndtri(1 - level / 4) / math.sqrt(fraction)))


def boundaries(levels: Float[np.ndarray, "level"], fractions: Sequence[float]) -> Float[np.ndarray, "level look"]:
    """Normal scores that the looks of a two-sided test must exceed, for tests of several whole levels at once.

    Args:
        levels: between 0 and 1.
        fractions: of the information, not decreasing, the last at most 1.

    Source:
        Armitage, McPherson and Rowe 1969, J. R. Stat. Soc. A 132:235, by Gauss-Legendre quadrature.
    """
    first = -special.ndtri(spent(levels, fractions[0]) / 2)
    bounds, done = [np.minimum(first, _MOST_SCORE)], spent(levels, fractions[0])
    reach = bounds[0] * math.sqrt(fractions[0])  # of the sum with independent increments
    place = reach[:, None] * _NODES
    mass = _density(place, math.sqrt(fractions[0])) * reach[:, None] * _WEIGHTS
    before = fractions[0]
    for fraction in fractions[1:]:
        step = math.sqrt(max(fraction - before, _LEAST_STEP))
        target = np.maximum(spent(levels, fraction) - done, 1e-300)
        reach = _exceeded_with(target, place, mass, step, root=math.sqrt(fraction))
        bounds.append(np.minimum(reach / math.sqrt(fraction), _MOST_SCORE))
        done, before = np.maximum(done, spent(levels, fraction)), fraction
        nodes = reach[:, None] * _NODES
        kernel = _density(nodes[:, :, None] - place[:, None, :], step)
        mass = (kernel @ mass[:, :, None])[:, :, 0] * reach[:, None] * _WEIGHTS
        place = nodes
    return np.stack(bounds, axis=1)


def nominal_level(level: float, fractions: Sequence[float]) -> float:
    """Two-sided level at which the last of these looks is tested, for a test that keeps ``level`` over all looks."""
    if len(fractions) == 1 and fractions[0] >= 1:
        return level
    if level >= _LEVELS[-1]:
        return 1.0
    score = np.interp(math.log(max(level, _LEVELS[0])), np.log(_LEVELS), _limits(tuple(fractions))[:, -1])
    return float(2 * special.ndtr(-score))


def sequential_p(p_values: Sequence[float], fractions: Sequence[float]) -> tuple[float, ...]:
    """After each look, the least level at which a test over all looks so far rejects at one of them.

    A single whole look's is its p-value.

    Args:
        p_values: two-sided, of each look alone.
        fractions: of the information at each look.

    Source:
        Liu and Anderson 2008, Stat. Med. 27:3137: sequential p-values, fit for several contrasts.
    """
    if len(fractions) == 1 and fractions[0] >= 1:
        return (p_values[0],)
    limits = _limits(tuple(fractions))
    scores = np.minimum(-special.ndtri(np.maximum(np.array(p_values), 1e-300) / 2), _MOST_SCORE)
    p_at_looks = [
        float(np.exp(np.interp(-score, -limits[:, look], np.log(_LEVELS)))) if score >= limits[-1, look] else 1.0
        for look, score in enumerate(scores)
    ]
    return tuple(np.minimum.accumulate(p_at_looks).tolist())


@lru_cache(maxsize=4096)
def _limits(fractions: tuple[float, ...]) -> Float[np.ndarray, "level look"]:
    """Boundaries of many levels, falling with the level."""
    return np.asarray(np.maximum.accumulate(boundaries(_LEVELS, fractions)[::-1])[::-1])


def _density(value: Float[np.ndarray, "*shape"], sd: float) -> Float[np.ndarray, "*shape"]:
    return np.asarray(np.exp(-0.5 * (value / sd) ** 2) / (sd * math.sqrt(2 * math.pi)))


def _exceeded_with(
    target: Float[np.ndarray, "level"],
    place: Float[np.ndarray, "level node"],
    mass: Float[np.ndarray, "level node"],
    step: float,
    *,
    root: float,
) -> Float[np.ndarray, "level"]:
    """Distance from zero that the next sum exceeds with probability ``target``, by halving."""
    low, high = np.zeros(len(target)), np.full(len(target), _MOST_SCORE * root)
    for _ in range(40):
        middle = (low + high) / 2
        beyond = special.ndtr((place - middle[:, None]) / step) + special.ndtr((-place - middle[:, None]) / step)
        over = (beyond * mass).sum(axis=1) > target
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.asarray((low + high) / 2)
