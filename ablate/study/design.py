"""Designs: which combinations of components are trained, and which contrasts answer for each component.

A component is a pair of restrictions of the space, ``off`` and ``on``; an arm says for each component which of them
holds. Sources: Box, Hunter and Hunter, Statistics for Experimenters (2005) for factorials and their fractions.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ablate.domain import Domain
from ablate.study.space import Domains

BASELINE = "baseline"
FULL = "full"
_MAX_FACTORIAL = 4
_HALF_FRACTION = {5: "a b c d abcd", 6: "a b c d e abcde"}  # generators of resolution V and VI


class Component(BaseModel):
    """One part of the recipe, without and with it.

    Attributes:
        off: restriction of the space without it.
        on: restriction of the same hyper-parameters with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    off: Domains
    on: Domains

    @model_validator(mode="after")
    def _check(self) -> "Component":
        if set(self.off) != set(self.on) or not self.on:
            raise ValueError("off and on must restrict the same hyper-parameters, at least one")
        return self


class Design(BaseModel):
    """A generated set of arms.

    Attributes:
        kind: ``add_one_in``: the baseline, each component alone, all; ``leave_one_out``: all, and all but one;
            ``factorial``: every combination of up to four; ``half_fraction``: half the combinations of five or six,
            in which main effects and pairs are not mixed up with each other; ``path``: the steps between the tuned
            baseline and the tuned whole (see ``path``).
        components: by name, in the order of the report.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["add_one_in", "leave_one_out", "factorial", "half_fraction", "path"]
    components: dict[str, Component] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "Design":
        n = len(self.components)
        if self.kind in ("factorial", "path") and n > _MAX_FACTORIAL:
            raise ValueError(f"kind: a {self.kind} takes up to {_MAX_FACTORIAL} components, not {n}; use half_fraction")
        if self.kind == "half_fraction" and n not in _HALF_FRACTION:
            raise ValueError(f"kind: a half fraction takes 5 or 6 components, not {n}; use factorial")
        return self

    def expand(self) -> tuple[dict[str, dict[str, Domain]], list[dict[str, Any]]]:
        """Arms by name, and the contrasts declared for them, both as a study file would write them."""
        levels = self._levels()
        arms = {self._name(row): self._restriction(row) for row in levels}
        return arms, self._contrasts(levels)

    def endpoints(self) -> tuple[str, str]:
        """Names of the arms without any component and with all of them."""
        return BASELINE, "+".join(self.components)

    def components_of(self, arm: str) -> tuple[str, ...]:
        """Components that are on in ``arm``."""
        row = next(row for row in self._levels() if self._name(row) == arm)
        return tuple(name for name, level in zip(self.components, row, strict=True) if level)

    def _levels(self) -> Int[np.ndarray, "arm component"]:
        """0 where a component is off, 1 where it is on; the baseline first."""
        n = len(self.components)
        none, every, single = np.zeros((1, n), int), np.ones((1, n), int), np.eye(n, dtype=int)
        if self.kind == "add_one_in":
            return np.concatenate([none, single, every] if n > 1 else [none, every])
        if self.kind == "leave_one_out":
            return np.concatenate([every, 1 - single])
        from pyDOE3 import ff2n, fracfact  # noqa: PLC0415  (0.3 s that other designs need not wait)

        coded = fracfact(_HALF_FRACTION[n]) if self.kind == "half_fraction" else ff2n(n)
        levels = np.asarray((coded + 1) // 2, dtype=int)
        return np.asarray(levels[np.lexsort((*levels.T[::-1], levels.sum(axis=1)))])

    def _name(self, row: Int[np.ndarray, "component"]) -> str:
        on = [name for name, level in zip(self.components, row, strict=True) if level]
        if self.kind == "leave_one_out":
            off = [name for name in self.components if name not in on]
            return f"{FULL}-{off[0]}" if off else FULL
        return "+".join(on) or BASELINE

    def _restriction(self, row: Int[np.ndarray, "component"]) -> dict[str, Domain]:
        restriction: dict[str, Domain] = {}
        for component, level in zip(self.components.values(), row, strict=True):
            restriction |= component.on if level else component.off
        return restriction

    def _contrasts(self, levels: Int[np.ndarray, "arm component"]) -> list[dict[str, Any]]:
        names = [self._name(row) for row in levels]
        if self.kind == "add_one_in":
            return [{"name": f"{arm} - {BASELINE}", "arm": arm, "baseline": BASELINE} for arm in names[1:]]
        if self.kind == "leave_one_out":
            return [{"name": f"{FULL} - ({arm})", "arm": FULL, "baseline": arm} for arm in names[1:]]
        signs = 2 * levels - 1
        effects = {name: signs[:, k] for k, name in enumerate(self.components)}
        pairs = {f"{a} x {b}": effects[a] * effects[b] for a, b in combinations(self.components, 2)}
        return [_effect(name, sign, names) for name, sign in {**effects, **pairs}.items()]


def _effect(name: str, sign: Int[np.ndarray, "arm"], arms: list[str]) -> dict[str, Any]:
    """Mean of the arms with sign +1 minus mean of those with -1: a main effect, or half the change of one effect."""
    weights: Mapping[str, float] = {arm: float(s) * 2 / len(arms) for arm, s in zip(arms, sign, strict=True)}
    return {"name": name, "combination": dict(weights)}
