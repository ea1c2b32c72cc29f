import math

import numpy as np
import pytest
from scipy import stats

from ablate.errors import SpecError
from ablate.stats.effect import PatientVariance, two_source_effect
from ablate.stats.hypothesis_test import tost
from ablate.stats.verdict import Claim, decide

NEAR_ZERO = np.array([0.001, -0.001, 0.002, -0.002, 0.0005, 0.0])


@pytest.mark.parametrize(
    ("difference", "p", "equivalence_p", "claim", "verdict"),
    [
        (0.01, 0.01, 0.9, Claim.GREATER, "supported"),
        (-0.01, 0.01, 0.9, Claim.GREATER, "refuted"),
        (-0.01, 0.01, 0.9, Claim.LESS, "supported"),
        (0.01, 0.01, 0.9, Claim.LESS, "refuted"),
        (-0.01, 0.01, 0.9, Claim.DIFFERENT, "supported"),
        (0.001, 0.5, 0.01, Claim.GREATER, "equivalent"),
        (0.001, 0.01, 0.01, Claim.GREATER, "supported"),
        (0.01, 0.05, 0.06, Claim.GREATER, "unresolved"),
        (0.01, math.nan, math.nan, Claim.GREATER, "unresolved"),
    ],
)
def test_verdicts(difference: float, p: float, equivalence_p: float, claim: Claim, verdict: str) -> None:
    assert decide(difference, claim=claim, p=p, equivalence_p=equivalence_p) == verdict


@pytest.mark.parametrize("shift", [-0.003, 0.0, 0.003, 0.02])
def test_equivalence_is_two_one_sided_t_tests(shift: float) -> None:
    effect = two_source_effect(NEAR_ZERO + shift, PatientVariance(0.0, math.inf))
    below = stats.ttest_1samp(NEAR_ZERO + shift, 0.005, alternative="less").pvalue
    above = stats.ttest_1samp(NEAR_ZERO + shift, -0.005, alternative="greater").pvalue
    assert tost(effect, 0.005) == pytest.approx(max(below, above))


def test_no_margin_no_equivalence() -> None:
    effect = two_source_effect(NEAR_ZERO, PatientVariance(0.0, math.inf))
    assert math.isnan(tost(effect, None))
    with pytest.raises(SpecError, match="margin: 0"):
        tost(effect, 0.0)
