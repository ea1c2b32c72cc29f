"""How many updates each arm is trained with: an arm that gets many times those of another may win by that alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.domain import Domain
from ablate.study.plan import contexts
from ablate.study.spec import Spec
from ablate.train.params import DOMAINS, Params


@dataclass(frozen=True)
class UpdateCount:
    """Updates of one arm in one context, the probe's among them.

    Attributes:
        fewest, most: over the space of the arm.
    """

    arm: str
    context: Mapping[str, Any]
    fewest: int
    most: int


def update_counts(spec: Spec, *, n_train: int) -> list[UpdateCount]:
    """Updates of every arm in every context; none where the routine is the user's own, which counts its own.

    Args:
        spec: the study.
        n_train: records of its training folds.
    """
    if spec.routine is not None:
        return []
    return [_count(spec, arm, context, n_train) for context in contexts(spec) for arm in spec.arms]


def unequal(spec: Spec, counts: Sequence[UpdateCount]) -> list[str]:
    """A sentence for each context in which arms differ by more than the study's ``updates_ratio``."""
    said = []
    for context in contexts(spec) if counts else ():
        here = sorted((each for each in counts if each.context == context), key=lambda each: each.most)
        few, many = here[0], here[-1]
        if many.most > spec.budget.updates_ratio * few.most:
            place = ", ".join(f"{name}={value}" for name, value in context.items())
            said.append(
                f"{f'at {place}: ' if place else ''}{many.arm} gets up to {many.most} updates, probe included, "
                f"{few.arm} at most {few.most}; more than updates_ratio = {spec.budget.updates_ratio:g} times as many; "
                "more ft_epochs narrow that"
            )
    return said


def _count(spec: Spec, arm: str, context: Mapping[str, Any], n_train: int) -> UpdateCount:
    space = {**spec.fixed, **spec.arm_space(arm)}
    least = min(float(value) for value in _domain(space, "data_fraction").extremes)
    n_records = max(1, round(n_train * float(context.get("data_fraction", least))))
    few, many = (
        math.ceil(n_records / size) for size in reversed(_ends(space, "batch_size", context))
    )  # the largest batch has the fewest updates
    epochs = [_ends(space, name, context) for name in ("probe_epochs", "ft_epochs")]
    return UpdateCount(arm, context, few * sum(low for low, _ in epochs), many * sum(high for _, high in epochs))


def _ends(space: Mapping[str, Domain], name: str, context: Mapping[str, Any]) -> tuple[int, int]:
    """Lowest and highest whole number that ``name`` has in an arm."""
    if name in context:
        return int(context[name]), int(context[name])
    values = [int(value) for value in _domain(space, name).extremes]
    return min(values), max(values)


def _domain(space: Mapping[str, Domain], name: str) -> Domain:
    return space.get(name, DOMAINS[name].narrowed(getattr(Params(), name)))
