"""The search space as Optuna writes it, one distribution for each parameter over the whole study."""

import json
import math
from collections.abc import Mapping
from typing import Any

Distribution = dict[str, Any]


def distributions_of(space: Mapping[str, Mapping[str, Any]]) -> dict[str, Distribution]:
    """Optuna's JSON of each parameter's distribution.

    Args:
        space: {low, high, log, int} or {choices} by parameter name.
    """
    return {name: _distribution(given) for name, given in space.items()}


def _distribution(given: Mapping[str, Any]) -> Distribution:
    if "choices" in given:
        return {"name": "CategoricalDistribution", "attributes": {"choices": list(given["choices"])}}
    is_log = bool(given.get("log", False))
    if given.get("int", False):
        bounds = {"low": int(given["low"]), "high": int(given["high"])}
        return {"name": "IntDistribution", "attributes": {"log": is_log, "step": 1, **bounds}}
    attributes = {"step": None, "low": float(given["low"]), "high": float(given["high"]), "log": is_log}
    return {"name": "FloatDistribution", "attributes": attributes}


def stored_value(distribution: Distribution, value: Any) -> float | None:
    """What Optuna stores for ``value``: a number, or the place among the choices; None when it lies outside.

    A parameter that an arm fixes outside the space is left out of its trials, as a conditional parameter would be.
    """
    attributes = distribution["attributes"]
    if "choices" in attributes:
        choices = attributes["choices"]
        places = [place for place, choice in enumerate(choices) if type(choice) is type(value) and choice == value]
        return float(places[0]) if places else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if attributes["low"] <= value <= attributes["high"] else None


def to_text(distribution: Distribution) -> str:
    """The text in which Optuna keeps it."""
    return json.dumps(distribution)
