"""A declared contrast in one context by one metric: what it is estimated to be, and what was decided."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ablate.stats.declaration import Claim


class Verdict(StrEnum):
    """What the tests say about a contrast's claim; the simultaneous interval says the same.

    Supported and refuted: it leaves out zero. Equivalent: it lies within the margin. Not tested: too few blocks.
    """

    SUPPORTED = "supported"
    REFUTED = "refuted"
    EQUIVALENT = "equivalent"
    NOT_ESTABLISHED = "not_established"
    NOT_TESTED = "not_tested"


class Lack(StrEnum):
    """What a verdict that is not established lacks.

    Blocks: more of them may do. Patients: no number of blocks can, on this test fold. Search: that of an arm is not
    settled. Gate: a family before it, or the same contrast by AUROC, has found nothing.
    """

    BLOCKS = "blocks"
    PATIENTS = "patients"
    SEARCH = "search"
    GATE = "gate"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One declared contrast in one context by one metric.

    Attributes:
        family: of the declaration.
        n_blocks: behind the numbers, those of the look that decided; ``n_units`` is less where several searches share
            them.
        n_looks: at which it was judged.
        relative: difference over the baseline's score; NaN for a combination.
        simultaneous_low, simultaneous_high: 95 % for all contrasts of the family and all looks together, by the
            distribution of max |t|; reaches to zero where no claim may be made. NaN where not tested.
        ci_low, ci_high: 95 % for this contrast and this look alone.
        p: of this contrast and this look alone; NaN where not tested.
        p_adjusted: least error of the study's claims at which this one is made, in its family, over looks and gates.
        sd_seeds: standard deviation over units; sd_patients: over test folds, of what units have in common.
        p_sign_flip: exact, over seeds only; NaN with more than 40 units, whose patterns are too many to count.
        p_superior: probability that the next unit, on other patients, scores higher in the arm.
        p_equivalence: against a difference of ``margin`` or more, of this contrast and this look alone.
        prospect: probability, given this look, that the last planned one decides; NaN where there is none to come.
        df: degrees of freedom of a single t distribution.
        verdict, lacks: what was decided, and what it takes where nothing was.
        within_margin: the interval lies within the margin, whether or not it leaves out zero.
    """

    name: str
    context: Mapping[str, Any]
    metric: str
    family: str
    claim: Claim
    n_blocks: int
    n_units: int
    n_looks: int
    n_patients: int
    n_classes: int
    difference: float
    relative: float
    simultaneous_low: float
    simultaneous_high: float
    ci_low: float
    ci_high: float
    p: float
    p_adjusted: float
    sd_seeds: float
    sd_patients: float
    df: float
    p_sign_flip: float
    p_superior: float
    margin: float | None
    p_equivalence: float
    prospect: float
    verdict: Verdict
    lacks: tuple[Lack, ...] = ()
    within_margin: bool = False
    block_differences: tuple[float, ...] = field(repr=False)

    @property
    def interval(self) -> tuple[float, float]:
        """What stands with the verdict: the simultaneous interval, or its own where nothing is tested."""
        if not self.is_tested:
            return self.ci_low, self.ci_high
        return self.simultaneous_low, self.simultaneous_high

    @property
    def is_decided(self) -> bool:
        """Whether more blocks would change nothing."""
        return self.verdict in (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.EQUIVALENT)

    @property
    def is_tested(self) -> bool:
        """Whether there is a p-value."""
        return not math.isnan(self.p)
