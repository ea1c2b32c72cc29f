import json
import math

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ablate.store.space import distributions_of, stored_value, to_text

CASES: list[tuple[dict[str, object], BaseDistribution]] = [
    ({"low": 0, "high": 0.6}, FloatDistribution(0.0, 0.6)),
    ({"low": 1e-5, "high": 3e-3, "log": True}, FloatDistribution(1e-5, 3e-3, log=True)),
    ({"low": 0, "high": 50, "int": True}, IntDistribution(0, 50)),
    ({"low": 16, "high": 512, "int": True, "log": True}, IntDistribution(16, 512, log=True)),
    ({"choices": ["linear", "constant"]}, CategoricalDistribution(["linear", "constant"])),
    ({"choices": [0.01, 0.1, 1.0]}, CategoricalDistribution([0.01, 0.1, 1.0])),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_optuna_reads_what_we_write(given: dict[str, object], expected: BaseDistribution) -> None:
    text = to_text(distributions_of({"x": given})["x"])
    assert optuna.distributions.json_to_distribution(text) == expected
    assert json.loads(text) == json.loads(optuna.distributions.distribution_to_json(expected))


@pytest.mark.parametrize(
    ("given", "value"),
    [(CASES[0][0], 0.3), (CASES[1][0], 1e-4), (CASES[2][0], 7), (CASES[4][0], "constant"), (CASES[5][0], 0.1)],
)
def test_values_are_stored_as_optuna_stores_them(given: dict[str, object], value: float | str) -> None:
    distribution = distributions_of({"x": given})["x"]
    reference = optuna.distributions.json_to_distribution(to_text(distribution))
    stored = stored_value(distribution, value)
    assert stored == reference.to_internal_repr(value)
    assert stored is not None
    assert reference.to_external_repr(stored) == value


@pytest.mark.parametrize("value", [0.7, -0.1, math.nan, True, "0.3", None])
def test_values_outside_the_space_are_not_stored(value: object) -> None:
    assert stored_value(distributions_of({"x": {"low": 0.0, "high": 0.6}})["x"], value) is None


@pytest.mark.parametrize("value", [2, True, 1.0, "1"])
def test_a_choice_of_another_type_is_another_choice(value: object) -> None:
    assert stored_value(distributions_of({"x": {"choices": [1, 3]}})["x"], value) is None
