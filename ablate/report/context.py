"""A context: the factors, such as the share of the training data, that hold for a group of trials."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.domain import Scalar


@dataclass(frozen=True)
class Context:
    """Values of the study's context factors, by name; hashable, so that results can be kept by it."""

    factors: tuple[tuple[str, Scalar], ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Scalar]) -> "Context":
        """The context of these factors, in whatever order they come."""
        return cls(tuple(sorted(values.items())))

    @property
    def values(self) -> dict[str, Scalar]:
        """The factors by name."""
        return dict(self.factors)

    @property
    def json(self) -> str:
        """The same text for the same factors, as slots are stored with it."""
        return json.dumps(self.values, sort_keys=True)

    @property
    def data_fraction(self) -> float | None:
        """Share of the training data; None where the study does not vary it."""
        value = self.values.get("data_fraction")
        return float(value) if isinstance(value, int | float) else None
