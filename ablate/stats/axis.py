"""One hyper-parameter's range as an axis from 0 to 1, and orthonormal functions along it."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.polynomial import legendre

from ablate.errors import SpecError

_DEGREE = 6  # of the polynomials along an axis
_FEW_LEVELS = 24  # integers with so few values are orthogonal over exactly these values


@dataclass(frozen=True)
class Axis:
    """Range of a hyper-parameter; uniform in its value, or in its logarithm if ``log``.

    Attributes:
        choices: for kind "choice", where ``low``, ``high`` and ``log`` mean nothing.
    """

    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def n_levels(self) -> int:
        """Number of values; 0 for a continuous axis and for many integers, which count as continuous."""
        if self.kind == "choice":
            return len(self.choices)
        n_values = int(self.high - self.low) + 1
        return n_values if self.kind == "int" and not self.log and n_values <= _FEW_LEVELS else 0

    def degrees(self) -> Int[np.ndarray, "function"]:
        """How wavy each function is; all choices are alike."""
        if self.kind == "choice":
            return np.ones(self.n_levels - 1, dtype=int)
        return np.arange(1, min(_DEGREE, self.n_levels - 1 if self.n_levels else _DEGREE) + 1)

    def functions(self, values: pd.Series, *, name: str) -> Float[np.ndarray, "trial function"]:
        """Orthonormal functions with mean zero over the range, at ``values``.

        Raises:
            SpecError: a value is outside the range.
        """
        if self.n_levels:
            return np.asarray(self._level_functions()[self._levels(values, name)])
        position = 2 * self._positions(values, name) - 1
        return np.stack([math.sqrt(2 * k + 1) * legendre.legval(position, np.eye(k + 1)[k]) for k in self.degrees()], 1)

    def grid(self, n_points: int) -> list[Any]:
        """Values spread over the range, or all choices."""
        if self.kind == "choice":
            return list(self.choices)
        if self.log:
            points = np.geomspace(self.low, self.high, n_points)
            points[[0, -1]] = self.low, self.high  # rounding must not leave the range
        else:
            points = np.linspace(self.low, self.high, n_points)
        given: list[float] = points.tolist()
        return given if self.kind == "float" else sorted({round(point) for point in given})

    def _positions(self, values: pd.Series, name: str) -> Float[np.ndarray, "trial"]:
        given = values.to_numpy(dtype=float)
        margin = 0.5 if self.kind == "int" else 0.0
        low, high = self.low - margin, self.high + margin
        if not ((given >= low - 1e-9) & (given <= high + 1e-9)).all():
            raise SpecError(
                f"{name}: value {given[(given < low) | (given > high)][0]} outside {self.low} to {self.high}"
            )
        if self.log:
            given, low, high = np.log(given), math.log(low), math.log(high)
        return np.asarray(np.clip((given - low) / (high - low), 0, 1))

    def _levels(self, values: pd.Series, name: str) -> Int[np.ndarray, "trial"]:
        levels = list(self.choices) if self.kind == "choice" else list(range(int(self.low), int(self.high) + 1))
        position = {level: index for index, level in enumerate(levels)}
        unknown = [value for value in values if value not in position]
        if unknown:
            raise SpecError(f"{name}: value {unknown[0]!r} is none of {', '.join(map(str, levels))}")
        return np.array([position[value] for value in values])

    def _level_functions(self) -> Float[np.ndarray, "level function"]:
        n_levels, n_functions = self.n_levels, len(self.degrees())
        centred = np.linspace(-1, 1, n_levels)
        raw = (
            np.eye(n_levels)[:, :-1]
            if self.kind == "choice"
            else np.vander(centred, n_functions + 1, increasing=True)[:, 1:]
        )
        basis, _ = np.linalg.qr(np.column_stack([np.ones(n_levels), raw]))
        return np.asarray(basis[:, 1:] * math.sqrt(n_levels))
