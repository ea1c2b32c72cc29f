"""One hyper-parameter's domain as an axis from 0 to 1, and orthonormal functions along it."""

import math
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.polynomial import legendre

from ablate.domain import Domain
from ablate.errors import SpecError

_DEGREE = 6  # of the polynomials along an axis
_FEW_LEVELS = 24  # integers with so few values are orthogonal over exactly these values


def levels(domain: Domain) -> list[Any]:
    """Its values; none for a continuous axis and for many integers, which count as continuous."""
    if domain.choices:
        return list(domain.choices)
    n_values = int(domain.high - domain.low) + 1
    is_few = domain.integer and not domain.log and n_values <= _FEW_LEVELS
    return list(range(int(domain.low), int(domain.high) + 1)) if is_few else []


def degrees(domain: Domain) -> Int[np.ndarray, "function"]:
    """How wavy each function is; all choices are alike."""
    n_levels = len(levels(domain))
    if domain.choices:
        return np.ones(n_levels - 1, dtype=int)
    return np.arange(1, min(_DEGREE, n_levels - 1 if n_levels else _DEGREE) + 1)


def functions(domain: Domain, values: pd.Series) -> Float[np.ndarray, "trial function"]:
    """Orthonormal functions with mean zero over the domain, at ``values``.

    The domain counts as uniform, in its logarithm if it is ``log``.

    Raises:
        SpecError: a value is outside the domain.
    """
    if levels(domain):
        return np.asarray(_level_functions(domain)[_places(domain, values)])
    position = 2 * _positions(domain, values) - 1
    return np.stack([math.sqrt(2 * k + 1) * legendre.legval(position, np.eye(k + 1)[k]) for k in degrees(domain)], 1)


def grid(domain: Domain, n_points: int) -> list[Any]:
    """Values spread over the domain, or all choices."""
    if domain.choices:
        return list(domain.choices)
    if domain.log:
        points = np.geomspace(domain.low, domain.high, n_points)
        points[[0, -1]] = domain.low, domain.high  # rounding must not leave the range
    else:
        points = np.linspace(domain.low, domain.high, n_points)
    given: list[float] = points.tolist()
    return sorted({round(point) for point in given}) if domain.integer else given


def _positions(domain: Domain, values: pd.Series) -> Float[np.ndarray, "trial"]:
    given = values.to_numpy(dtype=float)
    half_step = 0.5 if domain.integer else 0.0
    low, high = domain.low - half_step, domain.high + half_step
    outside = (given < low - 1e-9) | (given > high + 1e-9)
    if outside.any():
        raise SpecError(f"{domain.name}: value {given[outside][0]} outside {domain.low} to {domain.high}")
    if domain.log:
        given, low, high = np.log(given), math.log(low), math.log(high)
    return np.asarray(np.clip((given - low) / (high - low), 0, 1))


def _places(domain: Domain, values: pd.Series) -> Int[np.ndarray, "trial"]:
    place = {level: index for index, level in enumerate(levels(domain))}
    unknown = [value for value in values if value not in place]
    if unknown:
        raise SpecError(f"{domain.name}: value {unknown[0]!r} is none of {', '.join(map(str, place))}")
    return np.array([place[value] for value in values])


def _level_functions(domain: Domain) -> Float[np.ndarray, "level function"]:
    n_levels, n_functions = len(levels(domain)), len(degrees(domain))
    centred = np.linspace(-1, 1, n_levels)
    raw = np.eye(n_levels)[:, :-1] if domain.choices else np.vander(centred, n_functions + 1, increasing=True)[:, 1:]
    basis, _ = np.linalg.qr(np.column_stack([np.ones(n_levels), raw]))
    return np.asarray(basis[:, 1:] * math.sqrt(n_levels))
