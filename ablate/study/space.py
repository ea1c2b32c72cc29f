"""The search space: domains of hyper-parameters as a study file writes them, and the restrictions that arms are."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from ablate.domain import Domain
from ablate.study.wording import nearest
from ablate.train.params import DOMAINS


def parse_domain(name: str, given: Any) -> Domain:
    """The domain that a study file writes as ``{low, high, log}``, ``{choices}`` or a single value.

    Raises:
        ValueError: an unknown parameter, a malformed or impossible domain; the text says what was expected.
    """
    return known_domain(name).narrowed(given)


def known_domain(name: str) -> Domain:
    """What the training routine accepts for ``name``.

    Raises:
        ValueError: the routine has no such hyper-parameter.
    """
    if name not in DOMAINS:
        raise ValueError(f"{name} is no hyper-parameter{nearest(name, list(DOMAINS))}")
    return DOMAINS[name]


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
        name in governed and switch in space and space[switch].point == 0 for switch, governed in _SWITCHES.items()
    )


def _parse_domains(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError("expected a table of hyper-parameters")
    domains, problems = {}, []
    for name, value in given.items():
        try:
            domains[name] = value if isinstance(value, Domain) else parse_domain(name, value)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ValueError("\n".join(problems))
    return domains


# A table of a study file: hyper-parameters and their domains.
Domains = Annotated[
    dict[str, Any],
    BeforeValidator(_parse_domains),
    PlainSerializer(lambda domains: {name: domain.document() for name, domain in domains.items()}),
]
