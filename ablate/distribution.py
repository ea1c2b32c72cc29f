"""Domains as Optuna's distributions: what its samplers propose from and its dashboard shows."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ablate.domain import Domain, is_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def to_distribution(domain: Domain) -> "BaseDistribution":
    """Optuna's distribution over ``domain``."""
    from optuna.distributions import (  # noqa: PLC0415  (0.5 s that reading a spec need not wait for)
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if domain.choices:
        return CategoricalDistribution(domain.choices)
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def distribution_documents(space: Mapping[str, Domain]) -> dict[str, Any]:
    """Each distribution as Optuna writes it, by name of the parameter, as plain JSON values."""
    from optuna.distributions import distribution_to_json  # noqa: PLC0415

    return {name: json.loads(distribution_to_json(to_distribution(domain))) for name, domain in space.items()}


def from_document(document: Mapping[str, Any]) -> "BaseDistribution":
    """The distribution of which Optuna made ``document``."""
    from optuna.distributions import json_to_distribution  # noqa: PLC0415

    return json_to_distribution(json.dumps(document))


def fits(distribution: "BaseDistribution", value: Any) -> bool:
    """Whether ``value`` is one that ``distribution`` could have given; a choice of another type is another choice."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: PLC0415

    if isinstance(distribution, CategoricalDistribution):
        return any(type(choice) is type(value) and choice == value for choice in distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return is_number(value) and math.isfinite(value) and distribution.low <= value <= distribution.high
