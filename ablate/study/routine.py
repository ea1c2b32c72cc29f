"""A routine of the user's own: where its function is, and the hyper-parameters that it can be told.

They are declared in the study file, so that a study is read, followed and reported without the routine's code.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from ablate import settings
from ablate.domain import Domain, Scalar
from ablate.own_code import PinnedCode, UnusableCode, entry_digest
from ablate.study.space import HyperParameters
from ablate.study.subject import SUBJECT_KEYS
from ablate.train.params import DOMAINS

SUBSET = "data_fraction"  # the one hyper-parameter of every routine: the subset is drawn before it is called
_TAKEN = (SUBSET, "title", *SUBJECT_KEYS)  # what these mean in an arm or a context is settled


def routine_log(study: str, slot: str) -> Path:
    """Where the last words of a routine in a slot are kept on the machine that filled it, a traceback among them."""
    name = re.sub(r"[^\w=.+@/-]", "_", slot)  # a context may hold any text
    return settings.home() / "routine_logs" / study / f"{name}.log"


class Declared(BaseModel):
    """One hyper-parameter of an own routine, as a study file writes it beside its domain.

    Attributes:
        domain: ``{low, high, log, int}`` or ``{choices}``.
        default: its value where a study says nothing.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    domain: Domain
    default: Scalar

    def document(self) -> dict[str, Any]:
        """As plain JSON values, as a study file writes it."""
        return {**self.domain.document(), "default": self.default}


def _declared(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError("expected a table of hyper-parameters")
    declared, problems = {}, []
    for name, value in given.items():
        try:
            declared[name] = value if isinstance(value, Declared) else _one(name, value)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ValueError("\n".join(problems))
    return declared


def _one(name: str, given: Any) -> Declared:
    if not name.isidentifier():
        raise ValueError("a name has letters, digits and _ only, and begins with no digit")
    if name in _TAKEN:
        raise ValueError("has a meaning of its own in every study; choose another name")
    if not isinstance(given, Mapping) or "default" not in given:
        raise ValueError("expected a domain with a default, such as { low = 1, high = 9, default = 3 }")
    domain = Domain.declared(name, {key: value for key, value in given.items() if key != "default"})
    if given["default"] not in domain:
        raise ValueError(f"default {given['default']!r} is outside its own domain, {domain}")
    return Declared.model_construct(domain=domain, default=given["default"])


class RoutineSpec(BaseModel):
    """A routine of your own instead of post-training ([how to write one](own_routine.md)).

    Attributes:
        entry: its function, ``FILE.py:FUNCTION`` or ``package.module:function``.
        params: hyper-parameters that it can be told, each a domain as in ``[space]`` with a ``default``. They are what
            ``[space]``, ``[fixed]``, arms and contexts may name, beside ``data_fraction``.
        code: digest of its code, filled in when the study is read; one that is written pins it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    entry: str
    params: Annotated[
        dict[str, Any],
        BeforeValidator(_declared),
        PlainSerializer(lambda params: {name: one.document() for name, one in params.items()}),
    ] = Field(min_length=1)
    code: str = ""

    @model_validator(mode="after")
    def _pin(self) -> "RoutineSpec":
        if not self.code:
            try:
                object.__setattr__(self, "code", entry_digest(self.entry))
            except UnusableCode as error:
                raise ValueError(f"entry: {self.entry!r}: {error}") from error
        return self

    @property
    def pinned(self) -> PinnedCode:
        """Its code, as a trainer is told."""
        return PinnedCode(self.entry, self.code)

    @cached_property
    def hyper_parameters(self) -> HyperParameters:
        """What it can be told, the share of the training data before all."""
        declared: Mapping[str, Declared] = self.params
        return HyperParameters(
            {SUBSET: DOMAINS[SUBSET], **{name: one.domain for name, one in declared.items()}},
            {SUBSET: 1.0, **{name: one.default for name, one in declared.items()}},
        )
