"""What a contrast's tests say about its claim."""

from enum import StrEnum


class Verdict(StrEnum):
    """Supported and refuted need a corrected p-value, equivalent a margin declared beforehand; else it stays open."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    EQUIVALENT = "equivalent"
    UNRESOLVED = "unresolved"


class Claim(StrEnum):
    """What the author expects of the contrast's difference."""

    GREATER = "greater"
    LESS = "less"
    DIFFERENT = "different"


def decide(
    difference: float, *, claim: Claim = Claim.GREATER, p: float, equivalence_p: float, alpha: float = 0.05
) -> Verdict:
    """The verdict on ``claim``.

    A difference that is both there and smaller than the margin counts as there.

    Args:
        p: against no difference, corrected for multiplicity; NaN where not tested.
        equivalence_p: against a difference beyond the margin, corrected; NaN without a margin.
    """
    if p < alpha and difference != 0:
        holds = claim is Claim.DIFFERENT or (difference > 0) == (claim is Claim.GREATER)
        return Verdict.SUPPORTED if holds else Verdict.REFUTED
    return Verdict.EQUIVALENT if equivalence_p < alpha else Verdict.UNRESOLVED
