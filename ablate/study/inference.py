"""``[inference]``: how often a study may err, in which order it asks, and when it looks.

Everything here is fixed by the seal, before the test fold is opened.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ablate.stats.declaration import MIN_TEST_BLOCKS, Declaration, DeclaredFamily, default_families
from ablate.study.wording import nearest


class FamilySpec(BaseModel):
    """Contrasts that are judged together.

    Attributes:
        name: of the family.
        contrasts: their names; each contrast is in one family.
        behind: an earlier family that must have found something first; none where left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    contrasts: tuple[str, ...] = Field(strict=False, min_length=1)
    behind: str | None = None


class Inference(BaseModel):
    """How the confirmation is judged.

    Attributes:
        alpha: error of all claims of the study together, both metrics and all contexts.
        reserve: share of ``alpha`` that later contexts keep though nothing was found in the first; 0 is a plain
            sequence of gates. What a context does not need goes on to the next.
        auprc: share of the error that a claim by AUROC sets free with which the same contrast may claim by AUPRC; the
            rest, and what AUPRC does not need, goes on to later families and contexts. All of it where none is left.
        later: share of ``alpha`` that is kept for ``ablate extend``, blocks added after the last look; each extension
            is a look that spends half of what is left. Without any, further blocks can claim nothing.
        families: where left out, the main contrasts of a context, and the interactions behind them.
        looks: numbers of blocks at which the study is judged, the last being budget.replicates; after a look only
            arms that an undecided contrast needs go on. Only the last where left out.
        futility: least probability of being decided at the last look, with which a contrast still gets blocks; it binds
            nothing, so that no error is spent on it.
        failures: whether the block of a replicate that failed for good is left out (``drop``, by --partial only), or
            the replicate counts as a model that has learned nothing (``worst``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    alpha: float = Field(default=0.05, gt=0, lt=0.2)
    reserve: float = Field(default=0.3, ge=0, lt=1)
    auprc: float = Field(default=0.5, gt=0, le=1)
    later: float = Field(default=0.0, ge=0, lt=1)
    families: tuple[FamilySpec, ...] = Field(default=(), strict=False)
    looks: tuple[int, ...] = Field(default=(), strict=False)
    futility: float = Field(default=0.05, ge=0, lt=0.5)
    failures: Literal["drop", "worst"] = "drop"

    @model_validator(mode="after")
    def _check(self) -> "Inference":
        if self.looks and self.looks[0] < MIN_TEST_BLOCKS:
            raise ValueError(f"looks: {list(self.looks)} begins below {MIN_TEST_BLOCKS}, where nothing is tested")
        if any(later <= earlier for earlier, later in zip(self.looks, self.looks[1:], strict=False)):
            raise ValueError(f"looks: {list(self.looks)} must increase, such as [5, 10, 15, 20]")
        names = [family.name for family in self.families]
        for place, family in enumerate(self.families):
            if family.name in names[:place]:
                raise ValueError(f"families: two are called {family.name!r}")
            if family.behind is not None and family.behind not in names[:place]:
                raise ValueError(
                    f"families.{family.name}.behind: {family.behind!r} is no family declared before it"
                    f"{nearest(family.behind, names[:place])}"
                )
        if self.families and self.families[0].behind is not None:
            raise ValueError(f"families.{names[0]}.behind: the first family cannot wait for another")
        return self

    @model_serializer(mode="wrap")
    def _document(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is usual as before it could be declared: a study that the store holds keeps its digest."""
        document: dict[str, Any] = handler(self)
        usual = {"auprc": 0.5, "later": 0.0}
        return {key: value for key, value in document.items() if value != usual.get(key)}

    def sealed(self) -> dict[str, Any]:
        """As the seal holds it: everything is written out, also what is usual."""
        return {**self.model_dump(mode="json"), "auprc": self.auprc, "later": self.later}

    def check_against(self, contrasts: Sequence[str], replicates: int) -> None:
        """Whether families hold every contrast once, and the last look is the last block.

        Raises:
            ValueError: they do not; says the key and what to do.
        """
        if self.looks and self.looks[-1] != replicates:
            raise ValueError(
                f"inference.looks: ends at {self.looks[-1]}, but budget.replicates is {replicates}; the last look is "
                "the last block"
            )
        members = [(name, family.name) for family in self.families for name in family.contrasts]
        for name, family in members:
            if name not in contrasts:
                raise ValueError(f"inference.families.{family}: no contrast {name!r}{nearest(name, list(contrasts))}")
        for name in contrasts:
            holders = [family for member, family in members if member == name]
            if len(holders) > 1:
                raise ValueError(f"inference.families: {name!r} is in two, {holders[0]} and {holders[1]}; keep one")
            if self.families and not holders:
                raise ValueError(f"inference.families: {name!r} is in none; each contrast needs one")


def declaration(
    inference: Inference,
    *,
    weights: Mapping[str, Mapping[str, float]],
    context: Mapping[str, Sequence[Any]],
    arms: Sequence[str],
    replicates: int,
    margins: Mapping[str, float],
    extensions: Sequence[int] = (),
) -> Declaration:
    """What ``judge`` is told of a study.

    Args:
        inference: of the study file.
        weights: of the arms, by contrast.
        context: values of each factor, in the declared order.
        arms: in the declared order.
        replicates: planned blocks.
        margins: of equivalence, by metric.
        extensions: numbers of blocks that were added after the last look.
    """
    families = tuple(DeclaredFamily(of.name, of.contrasts, of.behind) for of in inference.families)
    held = {name for family in families for name in family.contrasts}
    return Declaration(
        contexts=declared_contexts(context),
        weights=weights,
        families=families if held == set(weights) else default_families(weights, _baseline(weights, arms)),
        looks=inference.looks or (replicates,),
        margins=margins,
        alpha=inference.alpha,
        reserve=inference.reserve,
        auprc=inference.auprc,
        later=inference.later,
        extensions=tuple(extensions),
    )


def _baseline(weights: Mapping[str, Mapping[str, float]], arms: Sequence[str]) -> str:
    """The arm that most pairs are taken against, the first one where there is no pair."""
    subtracted = [arm for of in weights.values() if len(of) == 2 for arm, weight in of.items() if weight < 0]
    return max(dict.fromkeys(subtracted), key=subtracted.count, default=next(iter(arms), ""))


def declared_contexts(context: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """Every combination of the factors as canonical JSON, in the order in which the study file names their values."""
    combinations = product(*context.values())
    return tuple(json.dumps(dict(zip(context, values, strict=True)), sort_keys=True) for values in combinations)
