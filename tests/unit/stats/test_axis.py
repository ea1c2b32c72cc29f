import numpy as np
import pandas as pd
import pytest

from ablate.domain import Domain
from ablate.errors import SpecError
from ablate.stats.axis import degrees, functions, grid, levels

UNIT = Domain(name="lr", high=1.0)
MODE = Domain(name="mode", choices=("sample", "batch"))
WIDE = Domain(name="batch_size", low=16, high=512, log=True, integer=True)


@pytest.mark.parametrize(
    "domain",
    [
        Domain(name="schedule", choices=("linear", "constant", "none")),
        Domain(name="flag", choices=(True, False)),
        Domain(name="epochs", low=0, high=3, integer=True),
        Domain(name="epochs", low=5, high=24, integer=True),
    ],
)
def test_functions_of_few_levels_are_orthonormal_over_the_levels(domain: Domain) -> None:
    along = functions(domain, pd.Series(levels(domain), dtype=object))
    assert along.shape[1] == len(degrees(domain)) <= len(levels(domain)) - 1
    np.testing.assert_allclose(along.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(along.T @ along / len(along), np.eye(along.shape[1]), atol=1e-12)


@pytest.mark.parametrize("domain", [Domain(name="x", low=-1, high=3), Domain(name="lr", low=1e-5, high=1e-2, log=True)])
def test_functions_of_a_continuous_axis_are_orthonormal(domain: Domain) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(20)
    values = [domain.at(float(share)) for share in (nodes + 1) / 2]
    along = functions(domain, pd.Series(values))
    np.testing.assert_allclose(along.T @ (along * weights[:, None] / 2), np.eye(6), atol=1e-10)


def test_many_integers_count_as_continuous() -> None:
    """Each takes an equal part of the axis, the first and the last too."""
    every = functions(Domain(name="epochs", low=0, high=50, integer=True), pd.Series(range(51)))
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=0.01)
    assert functions(WIDE, pd.Series([16, 100, 512])).shape == (3, 6)


@pytest.mark.parametrize(
    "domain",
    [
        Domain(name="lr", low=1e-5, high=3e-3, log=True),
        Domain(name="epochs", low=0, high=50, integer=True),
        WIDE,
        MODE,
    ],
)
def test_the_grid_stays_within_the_range(domain: Domain) -> None:
    points = grid(domain, 41)
    functions(domain, pd.Series(points))
    assert len(set(points)) == len(points) >= 2


def test_a_value_outside_is_said() -> None:
    with pytest.raises(SpecError, match=r"lr: value 2.0 outside 0.0 to 1.0"):
        functions(UNIT, pd.Series([0.5, 2.0]))
    with pytest.raises(SpecError, match="mode: value 'x' is none of sample, batch"):
        functions(MODE, pd.Series(["x"]))
