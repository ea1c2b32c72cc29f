"""The search space: domains of hyper-parameters, and the restrictions of it that arms are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from ablate.train.params import RANGES

Scalar = float | int | str | bool


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``, both included; ``log`` searches their logarithm."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __contains__(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high and (not self.integer or value == int(value))  # type: ignore[operator, call-overload]

    def document(self) -> dict[str, Scalar]:
        """As stored and as the dashboard's mirror reads it."""
        return {"low": self.low, "high": self.high, "log": self.log, "int": self.integer}

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choices:
    """A few values without an order."""

    values: tuple[Scalar, ...]

    def __contains__(self, value: object) -> bool:
        return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values)

    def document(self) -> dict[str, list[Scalar]]:
        """As stored and as the dashboard's mirror reads it."""
        return {"choices": list(self.values)}

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.values))


Domain = Interval | Choices


def parse_domain(name: str, given: Any) -> Domain:
    """The domain that a study file writes as ``{low, high, log}``, ``{choices}`` or a single value.

    Raises:
        ValueError: an unknown parameter, a malformed or impossible domain; the text says what was expected.
    """
    known = known_domain(name)
    domain = _parse(given, integer=isinstance(known, Interval) and known.integer)
    outside = [value for value in _extremes(domain) if value not in known]
    if outside:
        raise ValueError(f"{outside[0]!r} is outside what {name} may be: {known}")
    return domain


def known_domain(name: str) -> Domain:
    """What the training routine accepts for ``name``.

    Raises:
        ValueError: the routine has no such hyper-parameter.
    """
    if name not in RANGES:
        raise ValueError(f"{name} is no hyper-parameter; there are: {', '.join(RANGES)}")
    limits = RANGES[name]
    if limits.kind == "choice":
        return Choices(tuple(limits.choices))
    return Interval(limits.low, limits.high, integer=limits.kind == "int")


def point(domain: Domain) -> Scalar | None:
    """The only value of ``domain``, or None where it has several."""
    if isinstance(domain, Choices):
        return domain.values[0] if len(domain.values) == 1 else None
    if domain.low != domain.high:
        return None
    return int(domain.low) if domain.integer else domain.low


def is_within(inner: Domain, outer: Domain) -> bool:
    """Whether every value of ``inner`` is one of ``outer``."""
    return type(inner) is type(outer) and all(value in outer for value in _extremes(inner))


def restrict(space: Mapping[str, Domain], arm: Mapping[str, Domain]) -> dict[str, Domain]:
    """The space of one arm; what its fixed values switch off is left out, since nobody can search it."""
    restricted = {**space, **arm}
    return {name: domain for name, domain in restricted.items() if not _is_switched_off(name, restricted)}


# A component that is off leaves its own hyper-parameters without effect.
_SWITCHES: Mapping[str, Sequence[str]] = {
    "probe_epochs": ("probe_lr", "probe_weight_decay"),
    "drop_path_rate": ("drop_path_schedule", "drop_path_mode"),
    "ft_epochs": ("ft_lr", "head_lr_ratio", "layer_decay", "min_lr_ratio", "weight_decay", "warmup_fraction"),
}


def _is_switched_off(name: str, space: Mapping[str, Domain]) -> bool:
    return any(
        name in governed and switch in space and point(space[switch]) == 0 for switch, governed in _SWITCHES.items()
    )


def _parse(given: Any, *, integer: bool) -> Domain:
    if not isinstance(given, Mapping):
        return Interval(given, given, integer=integer) if _is_number(given) else Choices((given,))
    if set(given) == {"choices"}:
        if not isinstance(given["choices"], list | tuple) or not given["choices"]:
            raise ValueError("choices must be a list of one or more values")
        return Choices(tuple(given["choices"]))
    unknown = set(given) - {"low", "high", "log", "int"}
    if unknown or not {"low", "high"} <= set(given):
        raise ValueError("expected {low, high, log}, {choices = [...]} or one value")
    return _interval(given, integer=integer)


def _interval(given: Mapping[str, Any], *, integer: bool) -> Interval:
    low, high, log = given["low"], given["high"], given.get("log", False)
    if not (_is_number(low) and _is_number(high) and isinstance(log, bool)):
        raise ValueError("low and high must be numbers and log true or false")
    if low > high:
        raise ValueError(f"low {low:g} is above high {high:g}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range starts above 0, not at {low:g}")
    return Interval(low, high, log=log, integer=integer)


def _extremes(domain: Domain) -> tuple[Scalar, ...]:
    return domain.values if isinstance(domain, Choices) else (domain.low, domain.high)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse_domains(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError("expected a table of hyper-parameters")
    domains = {}
    for name, value in given.items():
        try:
            domains[name] = value if isinstance(value, Interval | Choices) else parse_domain(name, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return domains


# A table of a study file: hyper-parameters and their domains.
Domains = Annotated[
    dict[str, Any],
    BeforeValidator(_parse_domains),
    PlainSerializer(lambda domains: {name: domain.document() for name, domain in domains.items()}),
]
