"""The search space: domains of hyper-parameters as a study file writes them, and the restrictions that arms are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

from ablate.domain import Domain, Scalar, is_number
from ablate.study.wording import nearest
from ablate.train.params import DOMAINS, Params


@dataclass(frozen=True)
class HyperParameters:
    """What a routine can be told.

    Attributes:
        domains: what each hyper-parameter may be, by name.
        usual: its value where a study says nothing.
        switches: those that have no effect while another one is 0, by that one.
    """

    domains: Mapping[str, Domain]
    usual: Mapping[str, Scalar]
    switches: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def domain(self, name: str) -> Domain:
        """What the routine accepts for ``name``.

        Raises:
            ValueError: the routine has no such hyper-parameter.
        """
        if name not in self.domains:
            raise ValueError(f"{name} is no hyper-parameter{nearest(name, list(self.domains))}")
        return self.domains[name]

    def complete(self, params: Mapping[str, Any]) -> dict[str, Scalar]:
        """Every hyper-parameter in its own type, with its usual value where ``params`` leaves it out."""
        whole = {**self.usual, **params}
        return {name: domain.typed(whole[name]) if is_number(whole[name]) and not domain.choices else whole[name]
                for name, domain in self.domains.items()}  # fmt: skip

    def restrict(self, space: Mapping[str, Domain], arm: Mapping[str, Domain]) -> dict[str, Domain]:
        """The space of one arm; what its fixed values switch off is left out, since nobody can search it."""
        restricted = {**space, **arm}
        return {name: domain for name, domain in restricted.items() if not self._is_switched_off(name, restricted)}

    def _is_switched_off(self, name: str, space: Mapping[str, Domain]) -> bool:
        return any(
            name in governed and switch in space and space[switch].point == 0
            for switch, governed in self.switches.items()
        )


POST_TRAINING = HyperParameters(
    DOMAINS,
    Params().document(),
    {  # a component that is off leaves its own hyper-parameters without effect
        "probe_epochs": ("probe_lr", "probe_weight_decay"),
        "drop_path_rate": ("drop_path_schedule", "drop_path_mode"),
        "ft_epochs": ("ft_lr", "head_lr_ratio", "layer_decay", "min_lr_ratio", "weight_decay", "warmup_fraction"),
    },
)


def parse_domain(name: str, given: Any, known: HyperParameters = POST_TRAINING) -> Domain:
    """The domain that a study file writes as ``{low, high, log}``, ``{choices}`` or a single value.

    Raises:
        ValueError: an unknown parameter, a malformed or impossible domain; the text says what was expected.
    """
    return known.domain(name).narrowed(given)


def _known(info: ValidationInfo) -> HyperParameters | None:
    """Of the routine of the study that is being read; None where that itself is wrong, which is said already."""
    if "name" in info.data and "routine" not in info.data:  # both keys of a study; this one was refused
        return None
    routine = info.context["routine"] if info.context else info.data.get("routine")
    known: HyperParameters = POST_TRAINING if routine is None else routine.hyper_parameters
    return known


def _parse_domains(given: Any, info: ValidationInfo) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError("expected a table of hyper-parameters")
    known = _known(info)
    if known is None:
        return {}
    domains, problems = {}, []
    for name, value in given.items():
        try:
            domains[name] = value if isinstance(value, Domain) else parse_domain(name, value, known)
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
