import numpy as np
import pandas as pd
import pytest

from ablate.errors import SpecError
from ablate.stats.axis import Axis


def levels(axis: Axis) -> list:
    return list(axis.choices) or list(range(int(axis.low), int(axis.high) + 1))


@pytest.mark.parametrize(
    "axis",
    [
        Axis("choice", choices=("linear", "constant", None)),
        Axis("choice", choices=(True, False)),
        Axis("int", 0, 3),
        Axis("int", 5, 24),
    ],
)
def test_functions_of_few_levels_are_orthonormal_over_the_levels(axis: Axis) -> None:
    found = axis.functions(pd.Series(levels(axis), dtype=object), name="x")
    assert found.shape[1] == len(axis.degrees()) <= axis.n_levels - 1
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.T @ found / len(found), np.eye(found.shape[1]), atol=1e-12)


@pytest.mark.parametrize("axis", [Axis("float", -1, 3), Axis("float", 1e-5, 1e-2, log=True)])
def test_functions_of_a_continuous_axis_are_orthonormal(axis: Axis) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(20)
    position = (nodes + 1) / 2
    values = axis.low * (axis.high / axis.low) ** position if axis.log else axis.low + (axis.high - axis.low) * position
    found = axis.functions(pd.Series(values), name="x")
    np.testing.assert_allclose(found.T @ (found * weights[:, None] / 2), np.eye(6), atol=1e-10)


def test_many_integers_count_as_continuous() -> None:
    """Each takes an equal part of the axis, the first and the last too."""
    every = Axis("int", 0, 50).functions(pd.Series(range(51)), name="x")
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=0.01)
    assert Axis("int", 16, 512, log=True).functions(pd.Series([16, 100, 512]), name="x").shape == (3, 6)


@pytest.mark.parametrize(
    "axis",
    [
        Axis("float", 1e-5, 3e-3, log=True),
        Axis("int", 0, 50),
        Axis("int", 16, 512, log=True),
        Axis("choice", choices="ab"),
    ],
)
def test_the_grid_stays_within_the_range(axis: Axis) -> None:
    points = axis.grid(41)
    axis.functions(pd.Series(points), name="x")
    assert len(set(points)) == len(points) >= 2


def test_a_value_outside_is_said() -> None:
    with pytest.raises(SpecError, match=r"lr: value 2.0 outside 0.0 to 1.0"):
        Axis("float").functions(pd.Series([0.5, 2.0]), name="lr")
    with pytest.raises(SpecError, match="mode: value 'x' is none of sample, batch"):
        Axis("choice", choices=("sample", "batch")).functions(pd.Series(["x"]), name="mode")
