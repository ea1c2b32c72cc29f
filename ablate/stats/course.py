"""The course of a planned confirmation: how often looks decide a contrast, and after how many blocks, by simulation.

Draws follow the assumed spreads; each look judges with the spread that it would have seen, as ``judge`` does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ablate.stats import spending
from ablate.stats.prospect import prospect
from ablate.stats.two_source import TwoSource

_N_DRAWS = 4000
_SPREADS = np.geomspace(0.1, 4.0, 24)  # of a look over the assumed one, between which its interval is interpolated


@dataclass(frozen=True)
class Spreads:
    """What a contrast is assumed to vary by.

    Attributes:
        seeds: standard deviation of the difference over blocks.
        patients: of the block-averaged difference over test folds.
        df_patients: degrees of freedom with which the test fold tells the latter.
    """

    seeds: float
    patients: float
    df_patients: float = math.inf


@dataclass(frozen=True)
class Course:
    """What to expect of one contrast.

    Attributes:
        found: probability that a difference is claimed; equivalent: that it is called equivalent.
        blocks: mean number until it is decided, given up or out of looks.
    """

    found: float
    equivalent: float
    blocks: float


def course(
    difference: float,
    spreads: Spreads,
    *,
    looks: Sequence[int],
    level: float,
    margin: float | None,
    futility: float = 0.0,
    equivalence_level: float | None = None,
) -> Course:
    """What happens at the looks when the true difference is ``difference``.

    Args:
        spreads: assumed.
        looks: numbers of blocks, increasing, the last one planned.
        level: of this contrast alone, over all looks, for a claim.
        margin: of equivalence; none where None.
        futility: least chance of being decided at the last look with which a contrast goes on.
        equivalence_level: of the interval that must lie within the margin; ``level`` where None.
    """
    rng = np.random.default_rng(0)  # a plan must not hang on luck
    most = looks[-1]
    shifts = difference + spreads.patients * rng.standard_normal(_N_DRAWS)
    noise = spreads.seeds * rng.standard_normal((_N_DRAWS, most))
    fractions = spending.information_fractions(
        looks, var_seeds=spreads.seeds**2, var_patients=spreads.patients**2, most=most
    ).tolist()
    is_open = np.ones(_N_DRAWS, dtype=bool)
    found, equivalent, blocks = np.zeros(_N_DRAWS, dtype=bool), np.zeros(_N_DRAWS, dtype=bool), np.zeros(_N_DRAWS)
    for place, n_blocks in enumerate(looks):
        estimate = shifts + noise[:, :n_blocks].mean(axis=1)
        ratio = noise[:, :n_blocks].std(axis=1, ddof=1) / spreads.seeds if spreads.seeds else np.ones(_N_DRAWS)
        told = fractions[: place + 1]
        claims = is_open & (np.abs(estimate) > _half(spreads, ratio, n_blocks, spending.nominal_level(level, told)))
        found |= claims
        if margin is not None:
            at = spending.nominal_level(equivalence_level or level, told)
            equivalent |= is_open & ~claims & (np.abs(estimate) + _half(spreads, ratio, n_blocks, at) < margin)
        blocks[is_open] = n_blocks
        is_open &= ~found & ~equivalent
        if n_blocks < most:
            error, last_error = (math.hypot(spreads.patients, spreads.seeds / math.sqrt(n)) for n in (n_blocks, most))
            chance = prospect(estimate, error=error, last_error=last_error, level=level, margin=margin)
            is_open &= ~(chance < futility)
    return Course(float(found.mean()), float(equivalent.mean()), float(blocks.mean()))


def detectable(spreads: Spreads, *, looks: Sequence[int], level: float, power: float) -> float:
    """Smallest true difference that is claimed with this probability, to a hundredth of its size."""

    def reached(difference: float) -> bool:
        return course(difference, spreads, looks=looks, level=level, margin=None).found >= power

    error = math.hypot(spreads.seeds / math.sqrt(looks[-1]), spreads.patients)
    if error == 0:
        return 0.0
    low, high = 0.0, 4 * error
    while not reached(high):
        low, high = high, 2 * high
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def presumed_patient_sd(
    n_positive: Int[np.ndarray, "class"], n_records: int, *, auroc: float = 0.92, correlation: float = 0.8
) -> float:
    """Presumed standard deviation of a macro AUROC difference over test folds, when there is no past trial to ask.

    Args:
        n_positive: records of each class in the test fold, 1 to ``n_records - 1``.
        auroc: presumed of every class.
        correlation: presumed between two arms' scores of a class; the classes count as independent.

    Source:
        Hanley and McNeil 1982, Radiology 143:29, equation 2.
    """
    positive = np.asarray(n_positive, dtype=float)
    negative = n_records - positive
    better_than_two, two_better = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    pairs = (positive - 1) * (better_than_two - auroc**2) + (negative - 1) * (two_better - auroc**2)
    variance = (auroc * (1 - auroc) + pairs) / (positive * negative)
    return math.sqrt(2 * (1 - correlation) * float(variance.sum())) / len(positive)


def _half(spreads: Spreads, ratio: Float[np.ndarray, "draw"], n_blocks: int, level: float) -> Float[np.ndarray, "draw"]:
    """Half the width of the interval of each draw, whose spread over blocks is ``ratio`` times the assumed one."""
    halves = [
        TwoSource(
            spread * spreads.seeds / math.sqrt(n_blocks), spreads.patients, n_blocks - 1, spreads.df_patients
        ).quantile(level)
        for spread in _SPREADS
    ]
    return np.asarray(np.interp(ratio, _SPREADS, halves))
