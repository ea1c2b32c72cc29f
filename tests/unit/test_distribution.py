import json
import math

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from ablate.distribution import distribution_documents, fits, from_document, to_distribution
from ablate.domain import Domain

CASES: list[tuple[Domain, BaseDistribution, object]] = [
    (Domain(name="x", high=0.6), FloatDistribution(0.0, 0.6), 0.3),
    (Domain(name="x", low=1e-5, high=3e-3, log=True), FloatDistribution(1e-5, 3e-3, log=True), 1e-4),
    (Domain(name="x", high=50, integer=True), IntDistribution(0, 50), 7),
    (Domain(name="x", low=16, high=512, integer=True, log=True), IntDistribution(16, 512, log=True), 64),
    (Domain(name="x", choices=("linear", "constant")), CategoricalDistribution(["linear", "constant"]), "constant"),
    (Domain(name="x", choices=(0.01, 0.1, 1.0)), CategoricalDistribution([0.01, 0.1, 1.0]), 0.1),
]


@pytest.mark.parametrize(("domain", "expected", "value"), CASES)
def test_a_domain_is_optunas_distribution(domain: Domain, expected: BaseDistribution, value: object) -> None:
    assert to_distribution(domain) == expected
    document = json.loads(json.dumps(distribution_documents({"x": domain})["x"]))
    assert document == json.loads(distribution_to_json(expected))
    assert from_document(document) == expected
    assert fits(expected, value)


@pytest.mark.parametrize("value", [0.7, -0.1, math.nan, True, "0.3", None])
def test_values_outside_the_space_do_not_fit(value: object) -> None:
    assert not fits(to_distribution(Domain(name="x", high=0.6)), value)


@pytest.mark.parametrize("value", [2, True, 1.0, "1"])
def test_a_choice_of_another_type_is_another_choice(value: object) -> None:
    assert not fits(to_distribution(Domain(name="x", choices=(1, 3))), value)
