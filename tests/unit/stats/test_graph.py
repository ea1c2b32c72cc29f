"""Where the level goes that a claim sets free, and that no more than all of it is ever spent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_evaluation import CONTEXTS, declared

from ablate.stats.declaration import Declaration
from ablate.stats.family import Family, joint
from ablate.stats.graph import Levels, Place, levels, set_free_alone
from ablate.stats.two_source import TwoSource

FIRST, SECOND = CONTEXTS
MAIN = ("sd - ft", "lp - ft", "lp_sd - ft")
KNOWN = TwoSource(1.0, 0.0, 1e9, 1e9)
BY_DRAWS = np.sqrt(0.05 / 2**13)  # standard error of a probability of .05 among the draws that a family rests on
Claimed = Mapping[tuple[str, str, str], bool]  # metric, context, contrast


def families(declaration: Declaration, correlation: float = 0.0) -> dict[str, dict[Place, Family]]:
    of_place = {}
    for context in declaration.contexts:
        for family in declaration.families:
            size = len(family.contrasts)
            seeds = np.full((size, size), correlation) + (1 - correlation) * np.eye(size)
            of_place[context, family.name] = joint([KNOWN] * size, seeds, np.zeros((size, size)))
    return {"auroc": of_place, "auprc": of_place}


def levels_where(declaration: Declaration, claimed: Claimed, correlation: float = 0.0) -> Levels:
    def p_values(metric: str, context: str, names: Sequence[str]) -> np.ndarray:
        return np.array([0.0 if claimed.get((metric, context, name)) else 1.0 for name in names])

    return levels(declaration, families(declaration, correlation), p_values)


def all_of(*metrics: str) -> Claimed:
    """Main contrasts of the first context, claimed by these metrics."""
    return {(metric, FIRST, name): True for metric in metrics for name in MAIN}


def test_where_nothing_is_claimed_every_family_keeps_what_it_began_with() -> None:
    found = levels_where(declared(), {})
    assert found.of_family == declared().shares()
    single = 1 - (1 - 0.035) ** (1 / 3)
    alone = single * (1 - single) ** 2  # this contrast's p-value is small and no other's is
    assert found.of_auprc[FIRST, "lp - ft"] == pytest.approx(0.5 * alone, abs=1 / 2**13)  # which is one draw
    assert found.of_auprc[FIRST, "sd x lp"] == 0


def test_by_auprc_a_claim_takes_its_share_and_the_rest_goes_on() -> None:
    """Of .035, three claims set all free; half of what each sets free alone waits for AUPRC."""
    found = levels_where(declared(), all_of("auroc"))
    waits = sum(found.of_auprc[FIRST, name] for name in MAIN)
    assert waits == pytest.approx(0.5 * 0.035, rel=0.05)
    assert found.of_family[FIRST, "interactions"] == pytest.approx(0.25 * (0.035 - waits))
    assert found.of_family[SECOND, "main"] == pytest.approx(0.015 + 0.75 * (0.035 - waits))


def test_what_auprc_does_not_need_goes_on_too() -> None:
    found = levels_where(declared(), all_of("auroc", "auprc"))
    assert found.of_family[FIRST, "interactions"] == pytest.approx(0.25 * 0.035)
    assert found.of_family[SECOND, "main"] == pytest.approx(0.015 + 0.75 * 0.035)


def test_a_finding_by_auprc_alone_sets_nothing_free() -> None:
    assert levels_where(declared(), all_of("auprc")).of_family == declared().shares()


def test_where_no_family_comes_after_one_all_is_auprcs() -> None:
    last = replace(declared(), contexts=CONTEXTS[:1])
    found = levels_where(last, all_of("auroc"))
    interaction = found.of_family[FIRST, "interactions"]
    assert found.of_auprc[FIRST, "sd x lp"] == pytest.approx(interaction) != 0
    weighted = levels_where(replace(last, auprc=0.1), all_of("auroc"))
    assert weighted.of_auprc[FIRST, "lp - ft"] == pytest.approx(0.2 * found.of_auprc[FIRST, "lp - ft"])


def spent(declaration: Declaration, found: Levels, claimed: Claimed, correlation: float) -> float:
    """What open contrasts by AUROC, and those by AUPRC that wait behind a claim, may still err with."""
    total = 0.0
    for (context, name), joint_one in families(declaration, correlation)["auroc"].items():
        members = next(of.contrasts for of in declaration.families if of.name == name)
        level = found.of_family[context, name]
        is_open = np.array([not (level > 0 and claimed.get(("auroc", context, each))) for each in members])
        total += joint_one.kept(level, is_open)
        total += sum(
            found.of_auprc[context, each]
            for each, closed in zip(members, ~is_open, strict=True)
            if closed and not claimed.get(("auprc", context, each))
        )
    return total


@settings(max_examples=100, deadline=None)
@given(
    pattern=st.lists(st.booleans(), min_size=16, max_size=16),
    more=st.integers(0, 15),
    correlation=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    share=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_whatever_is_claimed_no_more_than_the_whole_level_is_spent(
    pattern: list[bool], more: int, correlation: float, share: float
) -> None:
    """And another claim lowers nobody's level, on which the argument rests."""
    declaration = replace(declared(), auprc=share)
    keys = [(m, c, name) for m in ("auroc", "auprc") for c in CONTEXTS for name in declaration.weights]
    claimed = dict(zip(keys, pattern, strict=True))
    found = levels_where(declaration, claimed, correlation)
    assert spent(declaration, found, claimed, correlation) <= declaration.alpha * (1 + 1e-3)
    further = levels_where(declaration, {**claimed, keys[more]: True}, correlation)
    for place, level in found.of_family.items():
        assert further.of_family[place] >= level - BY_DRAWS
    for place, level in found.of_auprc.items():
        assert further.of_auprc[place] >= level - BY_DRAWS


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_claims_together_set_free_at_least_what_each_does_alone(correlation: float) -> None:
    family = families(declared(), correlation)["auroc"][FIRST, "main"]
    alone = set_free_alone(family, 0.035)
    for claims in np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=bool):
        assert alone[claims].sum() <= 0.035 - family.kept(0.035, ~claims) + 1e-6


def test_by_auprc_nothing_is_claimed_that_its_simultaneous_interval_denies() -> None:
    """By AUROC two contrasts are one, so the third sets half of the level free; by AUPRC all three are different."""
    one = replace(declared(), contexts=CONTEXTS[:1])
    alike = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    main = {m: joint([KNOWN] * 3, seeds, np.zeros((3, 3))) for m, seeds in (("auroc", alike), ("auprc", np.eye(3)))}
    single = joint([KNOWN], np.eye(1), np.zeros((1, 1)))
    of = {m: {(FIRST, "main"): family, (FIRST, "interactions"): single} for m, family in main.items()}
    found = levels(replace(one, auprc=1.0), of, lambda metric, context, names: np.ones(len(names)))
    assert set_free_alone(main["auroc"], 0.05)[2] > 0.02
    assert found.of_auprc[FIRST, "lp_sd - ft"] == main["auprc"].single(0.05) < 0.02
