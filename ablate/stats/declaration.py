"""What is declared before the test fold is opened: contrasts, their families and order, margins, looks and level."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ablate.errors import SpecError

MIN_TEST_BLOCKS = 5  # fewer blocks screen: an interval, no verdict


class Claim(StrEnum):
    """What a contrast claims: a pair that its arm is better, a combination that there is a difference."""

    GREATER = "greater"
    DIFFERENT = "different"


@dataclass(frozen=True)
class DeclaredFamily:
    """Contrasts that are judged together in each context.

    Attributes:
        behind: an earlier family that must have found something first.
    """

    name: str
    contrasts: tuple[str, ...]
    behind: str | None = None


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Everything that fixes how often the study errs, answered or not.

    Attributes:
        contexts: in the order in which they are judged.
        weights: of the arms, by contrast; they sum to zero.
        families: each contrast in exactly one.
        margins: by metric, the difference below which arms count as equivalent.
        looks: numbers of blocks at which the study is judged, the last one planned at most.
        alpha: error of all claims of the study together.
        reserve: share of it that later contexts keep though nothing was found in the first.
        auprc: share of what a claim by AUROC sets free that goes to the same contrast by AUPRC.
        later: share of ``alpha`` that is kept for extensions after the last look.
        extensions: numbers of blocks that were added after the last look; each is a further look.
    """

    contexts: tuple[str, ...]
    weights: Mapping[str, Mapping[str, float]]
    families: tuple[DeclaredFamily, ...]
    looks: tuple[int, ...]
    margins: Mapping[str, float] = field(default_factory=dict)
    alpha: float = 0.05
    reserve: float = 0.3
    auprc: float = 0.5
    later: float = 0.0
    extensions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, weights in self.weights.items():
            if not weights or abs(sum(weights.values())) > 1e-9:
                raise SpecError(f"contrast {name}: weights {dict(weights)}; expected them to sum to 0")
        members = [name for family in self.families for name in family.contrasts]
        if sorted(members) != sorted(self.weights):
            raise SpecError(f"families: hold {sorted(members)}; expected each of {sorted(self.weights)} once")
        for metric, margin in self.margins.items():
            if not margin > 0:
                raise SpecError(f"margin.{metric}: {margin}; expected a positive difference that counts as none")

    def stages(self) -> "tuple[Declaration, ...]":
        """The declared looks, and each extension as a look of its own, with the level that each may err with.

        What is kept for extensions is halved by each, so that all of them together never spend more; by Boole's
        inequality the study errs ``alpha`` at most, however often it is extended.
        """
        own = replace(self, alpha=self.alpha * (1 - self.later), later=0.0, extensions=())
        further = (
            replace(own, looks=(most,), alpha=self.alpha * self.later / 2 ** (1 + place))
            for place, most in enumerate(self.extensions)
        )
        return own, *further

    def shares(self) -> dict[tuple[str, str], float]:
        """Part of ``alpha`` that each context and family starts with; one behind another starts with none."""
        first_ones = [family for family in self.families if family.behind is None]
        n_contrasts = sum(len(family.contrasts) for family in first_ones)
        later = self.reserve / (len(self.contexts) - 1) if len(self.contexts) > 1 else 0.0
        share_of = {}
        for place, context in enumerate(self.contexts):
            part = self.alpha * (later if place else 1 - later * (len(self.contexts) - 1))
            for family in self.families:
                weight = 0.0 if family.behind else len(family.contrasts) / n_contrasts
                share_of[context, family.name] = part * weight
        return share_of


def claim_of(weights: Mapping[str, float]) -> Claim:
    """A pair claims that its arm is better than its baseline."""
    return Claim.GREATER if sorted(weights.values()) == [-1.0, 1.0] else Claim.DIFFERENT


def default_families(weights: Mapping[str, Mapping[str, float]], baseline: str) -> tuple[DeclaredFamily, ...]:
    """Main contrasts, and interactions behind them.

    Args:
        weights: by contrast.
        baseline: the arm without any component; it counts for an interaction, and against a main effect.
    """
    together = tuple(name for name, of_arm in weights.items() if len(of_arm) > 2 and of_arm.get(baseline, 0.0) > 0)
    alone = tuple(name for name in weights if name not in together)
    if not together or not alone:
        return (DeclaredFamily("main", tuple(weights)),)
    return DeclaredFamily("main", alone), DeclaredFamily("interactions", together, behind="main")
