"""What a hyper-parameter may be: a range of numbers, or a few choices.

One type for what the training routine accepts, what a study searches, what an arm is restricted to and what an
importance is taken over.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Scalar = float | int | str | bool


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The values of one hyper-parameter: from ``low`` to ``high``, both included, or one of ``choices``.

    Attributes:
        name: of the hyper-parameter.
        low, high: without meaning where there are choices.
        log: whether a search moves in its logarithm.
        integer: whole numbers only.
        choices: a few values without an order; empty for a range.
        unit: such as "epochs"; empty for a plain number.
        meaning: in one line, for people.

    Raises:
        ValueError: no value is possible.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    choices: tuple[Scalar, ...] = ()
    unit: str = field(default="", compare=False)
    meaning: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.choices:
            return
        if not self.low <= self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, not at {self.low:g}")

    @classmethod
    def declared(cls, name: str, given: Any) -> "Domain":
        """The domain that a study file writes as ``{low, high, log, int}``, ``{choices}`` or a single value.

        Raises:
            ValueError: it is malformed, or no value is possible.
        """
        whole = isinstance(given, Mapping) and given.get("int", False)
        if not isinstance(whole, bool):
            raise ValueError("int must be true or false")
        return cls(name=name, **{"integer": whole, **_bounds(given)})

    def __contains__(self, value: object) -> bool:
        if self.choices:
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
        return is_number(value) and self.low <= value <= self.high and (not self.integer or value == int(value))  # type: ignore[operator, call-overload]

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        if self.low == self.high:
            return f"{self.low:g}"
        return f"{'a whole number' if self.integer else 'a number'} from {self.low:g} to {self.high:g}"

    @property
    def point(self) -> Scalar | None:
        """The only value, or None where there are several."""
        if self.choices:
            return self.choices[0] if len(self.choices) == 1 else None
        return self.typed(self.low) if self.low == self.high else None

    @property
    def extremes(self) -> tuple[Scalar, ...]:
        """Lowest and highest value, or all choices."""
        return self.choices or (self.low, self.high)

    def typed(self, value: float) -> float | int:
        """A number of a range as it is trained with: whole numbers as ``int``."""
        return int(value) if self.integer else value

    def is_within(self, outer: "Domain") -> bool:
        """Whether every value is one of ``outer``."""
        is_several_numbers = not self.choices and self.low != self.high
        return not (is_several_numbers and outer.choices) and all(value in outer for value in self.extremes)

    def at(self, share: float) -> Scalar:
        """The value below which ``share`` of the domain lies, from 0 to 1."""
        if self.choices:
            return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
        if self.integer and not self.log:
            return min(int(self.low + share * (self.high - self.low + 1)), int(self.high))
        if self.log:
            value = self.low * math.exp(share * math.log(self.high / self.low))
            return round(value) if self.integer else value
        return self.low + share * (self.high - self.low)

    def document(self) -> dict[str, Any]:
        """As plain JSON values, as a study file writes it."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log, "int": self.integer}

    def narrowed(self, given: Any) -> "Domain":
        """The part of it that a study file writes as ``{low, high, log}``, ``{choices}`` or a single value.

        Raises:
            ValueError: it is malformed, or holds a value that is none of this domain.
        """
        part = replace(self, **_bounds(given))
        outside = [value for value in part.extremes if value not in self]
        if outside:
            raise ValueError(f"{outside[0]!r} is outside what {self.name} may be: {self}")
        return part


def is_number(value: object) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounds(given: Any) -> dict[str, Any]:
    """Fields of a domain, from what a study file writes."""
    if not isinstance(given, Mapping):
        return _bounds({"low": given, "high": given} if is_number(given) else {"choices": [given]})
    if set(given) == {"choices"}:
        if not isinstance(given["choices"], list | tuple) or not given["choices"]:
            raise ValueError("choices must be a list of one or more values")
        return {"choices": tuple(given["choices"]), "low": 0.0, "high": 0.0, "log": False, "integer": False}
    if set(given) - {"low", "high", "log", "int"} or not {"low", "high"} <= set(given):
        raise ValueError("expected {low, high, log}, {choices = [...]} or one value")
    low, high, log = given["low"], given["high"], given.get("log", False)
    if not (is_number(low) and is_number(high) and isinstance(log, bool)):
        raise ValueError("low and high must be numbers and log true or false")
    return {"low": low, "high": high, "log": log, "choices": ()}
