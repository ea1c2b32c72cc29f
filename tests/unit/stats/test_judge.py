import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_evaluation import ARMS, CONTEXTS, WEIGHTS, declared, study

from ablate.errors import SpecError
from ablate.stats.contrast import Contrast, Lack, Verdict
from ablate.stats.declaration import Claim, DeclaredFamily
from ablate.stats.judge import judge

CLEAR = {"sd": 0.02, "lp": 0.03, "lp_sd": 0.05}


def by_key(contrasts: list[Contrast]) -> dict[tuple[float, str, str], Contrast]:
    return {(c.context["data_fraction"], c.name, c.metric): c for c in contrasts}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_blocks=st.integers(2, 12),
    scale=st.sampled_from([0.0, 0.001, 0.01, 0.05]),
    spreads=st.sampled_from([(0.004, 0.002), (0.0005, 0.0005), (0.02, 0.0001), (0.0001, 0.01), (0.0, 0.0)]),
    looks=st.sampled_from([(12,), (5, 12), (5, 8, 12)]),
    is_over=st.booleans(),
    unsettled=st.sampled_from([{}, {CONTEXTS[0]: ("lp",)}]),
    n_searches=st.sampled_from([1, 3]),
    extensions=st.sampled_from([(), (14,), (13, 14)]),
)
def test_interval_and_verdict_never_contradict_each_other(
    seed: int,
    n_blocks: int,
    scale: float,
    spreads: tuple[float, float],
    looks: tuple[int, ...],
    is_over: bool,
    unsettled: dict,
    n_searches: int,
    extensions: tuple[int, ...],
) -> None:
    n_blocks += 2 * bool(extensions)
    effects = dict(zip(ARMS, scale * np.random.default_rng(seed).normal(size=4), strict=True))
    searches = {block: block % n_searches for block in range(n_blocks)} if n_searches > 1 else None
    evaluations = study(
        seed, n_blocks=n_blocks, seeds=spreads[0], patients=spreads[1], effects=effects, searches=searches
    )
    asked = replace(declared(looks), later=0.2 if extensions else 0.0, extensions=extensions)
    for c in judge(asked, evaluations, unsettled=unsettled, is_over=is_over):
        low, high = c.interval
        assert low <= c.difference <= high
        if c.verdict is Verdict.NOT_TESTED:
            assert math.isnan(c.simultaneous_low)
            assert c.lacks == (Lack.BLOCKS,)
            continue
        leaves_out_zero = low > 0 or high < 0
        assert (c.verdict in (Verdict.SUPPORTED, Verdict.REFUTED)) == leaves_out_zero
        assert leaves_out_zero == (c.p_adjusted <= 0.05 and Lack.SEARCH not in c.lacks)
        if c.verdict is Verdict.EQUIVALENT:
            assert -c.margin < low and high < c.margin
        if c.verdict is Verdict.REFUTED:
            assert c.claim is Claim.GREATER and high < 0
        assert bool(c.lacks) == (c.verdict is Verdict.NOT_ESTABLISHED)
        assert high - low >= (c.ci_high - c.ci_low) * (1 - 1e-6)


def test_clear_effects_are_found_and_equal_arms_are_equivalent() -> None:
    found = by_key(judge(declared((10,)), study(0, n_blocks=10, seeds=0.001, patients=0.0005, effects=CLEAR)))
    assert all(found[fraction, name, "auroc"].verdict is Verdict.SUPPORTED
               for fraction in (0.1, 1.0) for name in ("sd - ft", "lp - ft", "lp_sd - ft"))  # fmt: skip
    assert found[0.1, "sd x lp", "auroc"].verdict is Verdict.EQUIVALENT
    worse = by_key(judge(declared((10,)), study(0, n_blocks=10, seeds=0.001, patients=0.0005, effects={"ft": 0.05})))
    assert worse[0.1, "lp - ft", "auroc"].verdict is Verdict.REFUTED


def test_a_refused_answer_keeps_its_place() -> None:
    """The other context's verdicts are what they were: nobody gains by a slot that failed."""
    evaluations = study(3, n_blocks=5, seeds=0.006, patients=0.002, effects={"lp": 0.012})
    whole = by_key(judge(declared(), evaluations))
    refused = [(CONTEXTS[1], name) for name in WEIGHTS] + [(CONTEXTS[0], "sd - ft")]
    less = by_key(judge(declared(), evaluations, refused=refused))
    assert set(less) == {key for key in whole if key[0] == 0.1 and key[1] != "sd - ft"}
    for key, contrast in less.items():
        assert contrast.p == whole[key].p
        slack = 0.01 if whole[key].p_adjusted < 0.3 else 0.05  # far from any level, the gate's share is a coarse sum
        assert contrast.p_adjusted >= whole[key].p_adjusted - slack
        assert contrast.verdict is whole[key].verdict


def test_by_auprc_only_what_is_claimed_by_auroc() -> None:
    """AUPRC's effects are clear and AUROC's are none, which is the case where an uncounted gate errs most."""
    evaluations = study(1, n_blocks=8, seeds=0.0005, patients=0.0005)
    for context, found in evaluations.items():
        moved = {
            arm: {b: (score + 0.05 * (arm != "ft"), parts) for b, (score, parts) in blocks.items()}
            for arm, blocks in found.blocks["auprc"].items()
        }
        evaluations[context] = replace(found, blocks={**found.blocks, "auprc": moved})
    judged = by_key(judge(declared((8,), margins={}), evaluations))
    contrast = judged[0.1, "lp - ft", "auprc"]
    assert contrast.p < 1e-4
    assert contrast.verdict is Verdict.NOT_ESTABLISHED
    assert contrast.lacks == (Lack.GATE,)
    assert contrast.simultaneous_low == 0


def test_auprc_is_judged_with_its_declared_share_and_later_contexts_with_the_rest() -> None:
    """AUROC's effects are clear and AUPRC's are none: what waits for AUPRC is missing elsewhere."""
    evaluations = study(1, n_blocks=8, seeds=0.003, patients=0.001, effects=CLEAR)
    for context, found in evaluations.items():
        still = {
            arm: {b: (score - CLEAR.get(arm, 0.0), parts) for b, (score, parts) in blocks.items()}
            for arm, blocks in found.blocks["auprc"].items()
        }
        evaluations[context] = replace(found, blocks={**found.blocks, "auprc": still})
    little, much = (
        by_key(judge(replace(declared((8,), margins={}), auprc=share), evaluations)) for share in (0.01, 1.0)
    )
    behind, later = (0.1, "lp - ft", "auprc"), (1.0, "sd - ft", "auroc")
    assert 0.0005 < much[behind].p < 0.4
    assert much[behind].verdict is Verdict.NOT_ESTABLISHED
    assert Lack.GATE not in much[behind].lacks
    assert little[behind].p_adjusted == pytest.approx(min(1.0, 100 * much[behind].p_adjusted))
    assert little[later].p_adjusted < 0.6 * much[later].p_adjusted


def test_by_auprc_behind_an_open_gate_a_clearer_difference_is_missing() -> None:
    evaluations = study(1, n_blocks=8, seeds=0.003, patients=0.001, effects=CLEAR)
    usual, least = (by_key(judge(replace(declared((8,)), auprc=share), evaluations)) for share in (0.5, 1e-9))
    key = 0.1, "lp_sd - ft", "auprc"
    assert usual[key].verdict is Verdict.SUPPORTED
    assert least[key].verdict is Verdict.NOT_ESTABLISHED
    assert least[key].lacks == (Lack.BLOCKS,)
    assert least[key].simultaneous_low == 0


def test_interactions_wait_for_a_main_contrast() -> None:
    evaluations = study(2, n_blocks=8, seeds=0.0005, patients=0.0002, effects={"lp_sd": -0.0, "ft": 0.0})
    for context, found in evaluations.items():
        only = {b: (score + 0.03, parts) for b, (score, parts) in found.blocks["auroc"]["lp_sd"].items()}
        both = {b: (score + 0.03, parts) for b, (score, parts) in found.blocks["auroc"]["ft"].items()}
        arms = {**found.blocks["auroc"], "lp_sd": only, "ft": both}
        evaluations[context] = replace(found, blocks={**found.blocks, "auroc": arms})
    main_found = by_key(judge(declared((8,)), evaluations))
    assert main_found[0.1, "sd x lp", "auroc"].verdict is Verdict.SUPPORTED
    weights = {"lp_sd - ft": WEIGHTS["lp_sd - ft"], "sd x lp": WEIGHTS["sd x lp"]}
    nothing_main = by_key(judge(declared((8,), weights=weights), evaluations))
    assert nothing_main[0.1, "sd x lp", "auroc"].lacks == (Lack.GATE,)


def test_later_contexts_gain_what_the_first_does_not_need() -> None:
    evaluations = study(5, n_blocks=8, seeds=0.002, patients=0.001, effects=CLEAR)
    blank = {CONTEXTS[0]: study(6, n_blocks=8)[CONTEXTS[0]], CONTEXTS[1]: evaluations[CONTEXTS[1]]}
    with_gain, without = by_key(judge(declared((8,)), evaluations)), by_key(judge(declared((8,)), blank))
    key = 1.0, "sd - ft", "auroc"
    assert with_gain[key].p == without[key].p
    assert with_gain[key].p_adjusted < without[key].p_adjusted / 2


def test_too_few_blocks_are_not_tested() -> None:
    contrast = judge(declared((4,)), study(0, n_blocks=4, effects=CLEAR))[0]
    assert contrast.verdict is Verdict.NOT_TESTED
    assert math.isnan(contrast.p)
    assert contrast.interval == (contrast.ci_low, contrast.ci_high)


def test_an_unsettled_search_claims_nothing() -> None:
    evaluations = study(0, n_blocks=8, seeds=0.001, patients=0.0005, effects=CLEAR)
    found = by_key(judge(declared((8,)), evaluations, unsettled={CONTEXTS[0]: ["lp"]}))
    assert found[0.1, "lp - ft", "auroc"].lacks == (Lack.SEARCH,)
    assert found[0.1, "sd - ft", "auroc"].verdict is Verdict.SUPPORTED


def test_what_a_look_decided_stays() -> None:
    """With clear effects the first of three looks decides; later blocks do not touch it."""
    evaluations = study(0, n_blocks=15, seeds=0.001, patients=0.0005, effects=CLEAR)
    first = {
        context: replace(found, blocks={
            metric: {arm: {b: blocks[b] for b in range(5)} for arm, blocks in arms.items()}
            for metric, arms in found.blocks.items()
        })
        for context, found in evaluations.items()
    }  # fmt: skip
    early = by_key(judge(declared((5, 10, 15)), first, is_over=False))
    late = by_key(judge(declared((5, 10, 15)), evaluations))
    for name in ("lp - ft", "lp_sd - ft"):
        assert early[0.1, name, "auroc"].is_decided
        assert late[0.1, name, "auroc"].n_looks == 1
        assert late[0.1, name, "auroc"].difference == early[0.1, name, "auroc"].difference


def test_an_early_look_has_a_wider_interval_than_the_only_one() -> None:
    evaluations = study(0, n_blocks=5)
    only = by_key(judge(declared((5,)), evaluations))[0.1, "lp - ft", "auroc"]
    early = by_key(judge(declared((5, 20)), evaluations, is_over=False))[0.1, "lp - ft", "auroc"]
    assert early.simultaneous_high - early.simultaneous_low > only.simultaneous_high - only.simultaneous_low
    assert 0 <= early.prospect <= 1
    assert math.isnan(only.prospect)


def test_searches_are_the_units_where_there_are_several() -> None:
    rng = np.random.default_rng(0)
    evaluations = study(0, n_blocks=10, searches={block: block % 5 for block in range(10)})
    luck = {arm: rng.normal(0, 0.03, 5) for arm in ARMS}
    for context, found in evaluations.items():
        arms = {
            arm: {b: (score + luck[arm][b % 5], parts) for b, (score, parts) in blocks.items()}
            for arm, blocks in found.blocks["auroc"].items()
        }
        evaluations[context] = replace(found, blocks={**found.blocks, "auroc": arms})
    contrast = by_key(judge(declared((10,)), evaluations))[0.1, "lp - ft", "auroc"]
    assert (contrast.n_blocks, contrast.n_units, len(contrast.block_differences)) == (10, 5, 5)
    expected = luck["lp"] - luck["ft"]
    assert contrast.sd_seeds == pytest.approx(expected.std(ddof=1), rel=0.3)


def test_declared_families_are_kept_to() -> None:
    evaluations = study(0, n_blocks=8, effects=CLEAR)
    families = (
        DeclaredFamily("first", ("lp - ft",)),
        DeclaredFamily("rest", tuple(WEIGHTS)[0:1] + tuple(WEIGHTS)[2:], "first"),
    )
    found = judge(replace(declared((8,)), families=families), evaluations)
    assert {c.family for c in found if c.name == "lp - ft"} == {"first"}
    with pytest.raises(SpecError, match="families"):
        replace(declared((8,)), families=families[:1])


def test_an_unknown_arm_is_said() -> None:
    with pytest.raises(SpecError, match="arm nobody"):
        judge(declared(weights={"x": {"nobody": 1.0, "ft": -1.0}}), study(0))


@pytest.mark.parametrize("seed", [3, 43])
def test_a_claim_of_an_earlier_look_needs_no_other_ground(seed: int) -> None:
    """Borderline at its look, and less than that once the later blocks' spread is known."""
    effects = {"lp": 0.016, "sd": 0.014, "lp_sd": 0.015}
    evaluations = study(seed, n_blocks=14, seeds=0.006, patients=0.003, n_patients=20, effects=effects)
    judged = judge(declared((5, 8, 11, 14)), evaluations)
    assert any(contrast.is_decided and contrast.n_looks < 4 for contrast in judged)


def test_more_blocks_than_sign_patterns_can_be_counted_for_are_judged_all_the_same() -> None:
    found = judge(declared((41,)), study(0, n_blocks=41, seeds=0.001, patients=0.0005, effects=CLEAR))
    assert found[0].verdict is Verdict.SUPPORTED
    assert all(math.isnan(c.p_sign_flip) for c in found)


def test_an_extension_is_a_further_look_with_the_level_that_was_kept_for_it() -> None:
    """Sealed for 5 blocks and extended to 12: claims of the sealed look stay, further ones ask for more."""
    evaluations = study(3, n_blocks=12, seeds=0.006, patients=0.001, effects={"lp": 0.014, "lp_sd": 0.04})
    planned = replace(declared((12,)), alpha=0.05)
    sealed = replace(declared((5,)), later=0.2)
    before = by_key(judge(sealed, {context: found.first(5) for context, found in evaluations.items()}))
    after = by_key(judge(replace(sealed, extensions=(12,)), evaluations))
    at_once = by_key(judge(planned, evaluations))
    decided, still_open = (0.1, "lp_sd - ft", "auroc"), (0.1, "lp - ft", "auroc")
    assert before[decided].verdict is Verdict.SUPPORTED
    assert after[decided] == before[decided]
    assert before[still_open].verdict is Verdict.NOT_ESTABLISHED
    assert (after[still_open].n_blocks, after[still_open].n_looks) == (12, 2)
    assert after[still_open].p == at_once[still_open].p
    assert after[still_open].p_adjusted > 5 * at_once[still_open].p_adjusted  # a tenth of the level
    width = after[still_open].simultaneous_high - after[still_open].simultaneous_low
    assert width > at_once[still_open].simultaneous_high - at_once[still_open].simultaneous_low


def test_an_extension_that_is_not_over_changes_nothing() -> None:
    evaluations = study(3, n_blocks=9, seeds=0.006, patients=0.001, effects={"lp": 0.014})
    sealed = replace(declared((5,)), later=0.2)
    before = judge(sealed, {context: found.first(5) for context, found in evaluations.items()})
    assert judge(replace(sealed, extensions=(12,)), evaluations, is_over=False) == before


def test_extensions_together_never_spend_more_than_was_kept() -> None:
    stages = replace(declared((5,)), later=0.2, extensions=(8, 12, 20, 40)).stages()
    assert stages[0].alpha == pytest.approx(0.04)
    assert [stage.alpha for stage in stages[1:]] == pytest.approx([0.005, 0.0025, 0.00125, 0.000625])
    assert sum(stage.alpha for stage in stages) < 0.05
    assert declared((5,)).stages() == (declared((5,)),)
