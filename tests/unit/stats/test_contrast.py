import dataclasses
import math

import numpy as np
import pytest

from ablate.errors import DataError, SpecError
from ablate.stats.contrast import Contrast, ContrastSpec, contrasts, estimate, judge
from ablate.stats.evaluation import evaluate
from ablate.stats.metrics import macro_auprc, macro_auroc
from ablate.stats.verdict import Claim, Verdict

N_BLOCKS, N_RECORDS, N_CLASSES = 8, 300, 4
SHIFT = {"baseline": 0.0, "sd": 0.0, "lp": 0.8, "lp_sd": 1.6}
DECLARED = [
    ContrastSpec.between("lp", arm="lp", baseline="baseline"),
    ContrastSpec.between("sd", arm="sd", baseline="baseline"),
    ContrastSpec.interaction("together", both="lp_sd", first="lp", second="sd", neither="baseline"),
]


def cohort(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random((N_RECORDS, N_CLASSES)) < [0.05, 0.2, 0.4, 0.5]
    record = rng.normal(size=labels.shape)
    arms = {
        arm: np.stack(
            [record + 0.1 * rng.normal(size=labels.shape) + (0.5 + shift) * labels for _ in range(N_BLOCKS)]
        ).astype(np.float32)
        for arm, shift in SHIFT.items()
    }
    return arms, labels, rng.integers(0, 250, N_RECORDS)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], Contrast]:
    arms, labels, patients = cohort()
    judged = contrasts(
        arms, labels, patients, DECLARED, margins={"auroc": 0.03}, context={"data_fraction": 0.1}, n_draws=200
    )
    return {(contrast.name, contrast.metric): contrast for contrast in judged}


def test_every_contrast_by_both_metrics(found: dict[tuple[str, str], Contrast]) -> None:
    assert set(found) == {(spec.name, metric) for spec in DECLARED for metric in ("auroc", "auprc")}
    assert {contrast.n_blocks for contrast in found.values()} == {N_BLOCKS}
    assert found["lp", "auroc"].context == {"data_fraction": 0.1}


@pytest.mark.parametrize(("metric", "score"), [("auroc", macro_auroc), ("auprc", macro_auprc)])
def test_differences_are_those_of_the_metrics(found: dict, metric: str, score: object) -> None:
    arms, labels, _ = cohort()
    by_arm = {arm: np.array([score(labels, block) for block in blocks]) for arm, blocks in arms.items()}
    expected = by_arm["lp"] - by_arm["baseline"]
    contrast = found["lp", metric]
    np.testing.assert_allclose(contrast.block_differences, expected)
    assert contrast.difference == pytest.approx(expected.mean())
    assert contrast.relative == pytest.approx(expected.mean() / by_arm["baseline"].mean())
    assert contrast.sd_seeds == pytest.approx(expected.std(ddof=1))
    together = (by_arm["lp_sd"] - by_arm["lp"]) - (by_arm["sd"] - by_arm["baseline"])
    assert found["together", metric].difference == pytest.approx(together.mean())
    assert math.isnan(found["together", metric].relative)


def test_verdicts(found: dict) -> None:
    assert found["lp", "auroc"].verdict is Verdict.SUPPORTED
    assert found["sd", "auroc"].verdict is Verdict.EQUIVALENT
    assert found["lp", "auroc"].p_superior > 0.99
    assert found["lp", "auroc"].p_sign_flip == 2 / 2**N_BLOCKS


def test_auprc_is_tested_only_behind_auroc(found: dict) -> None:
    assert found["lp", "auprc"].verdict is Verdict.SUPPORTED
    assert math.isnan(found["sd", "auprc"].p_holm)
    assert found["sd", "auprc"].verdict is Verdict.UNRESOLVED
    assert "did not pass" in found["sd", "auprc"].note


def test_intervals_surround_the_difference(found: dict) -> None:
    for contrast in found.values():
        assert contrast.ci_low < contrast.difference < contrast.ci_high
        assert contrast.ci_boot_low < contrast.difference < contrast.ci_boot_high
        assert contrast.p_holm >= contrast.p or math.isnan(contrast.p_holm)


def test_contexts_share_one_family() -> None:
    arms, labels, patients = cohort()
    evaluation = evaluate(arms, labels, patients, n_draws=50)
    one = estimate(evaluation, DECLARED, context={"data_fraction": 0.1})
    both = judge([*one, *(dataclasses.replace(item, context={"data_fraction": 1.0}) for item in one)])
    alone = judge(one)
    assert both[0].p_holm == pytest.approx(2 * alone[0].p_holm)


def test_an_arm_alone_has_an_interval() -> None:
    arms, labels, patients = cohort()
    evaluation = evaluate(arms, labels, patients, n_draws=10)
    effect = evaluation.effect("auroc", {"lp": 1.0})
    assert effect.ci_low < effect.difference == pytest.approx(evaluation.scores("auroc", {"lp": 1.0}).mean())


def test_a_claim_of_less_is_supported_by_less() -> None:
    arms, labels, patients = cohort()
    spec = ContrastSpec.between("harm", arm="baseline", baseline="lp", claim=Claim.LESS)
    assert contrasts(arms, labels, patients, [spec], n_draws=10)[0].verdict is Verdict.SUPPORTED


def test_few_blocks_screen_without_a_test() -> None:
    arms, labels, patients = cohort()
    contrast = contrasts({arm: blocks[:4] for arm, blocks in arms.items()}, labels, patients, DECLARED, n_draws=10)[0]
    assert math.isnan(contrast.p)
    assert math.isnan(contrast.p_holm)
    assert contrast.verdict is Verdict.UNRESOLVED
    assert "4 blocks screen" in contrast.note
    assert contrast.ci_low < contrast.difference < contrast.ci_high


def test_bad_input_is_said() -> None:
    arms, labels, patients = cohort()
    first = {arm: blocks[:1] for arm, blocks in arms.items()}
    with pytest.raises(SpecError, match="replicates: 1 finished"):
        contrasts(first, labels, patients, DECLARED, n_draws=10)
    with pytest.raises(SpecError, match="contrast x: unknown arm lpp; expected one of baseline, lp, lp_sd, sd"):
        contrasts(arms, labels, patients, [ContrastSpec.between("x", arm="lpp", baseline="baseline")])
    with pytest.raises(SpecError, match="sum to 0"):
        contrasts(arms, labels, patients, [ContrastSpec("x", {"lp": 1.0})])
    with pytest.raises(SpecError, match="every arm has finished"):
        contrasts({**arms, "lp": arms["lp"][:3]}, labels, patients, DECLARED)
    with pytest.raises(DataError, match="set is empty"):
        contrasts(arms, labels, patients, DECLARED, classes=np.zeros(N_CLASSES, dtype=bool))
    with pytest.raises(DataError, match="class 1: no positive among 300 records"):
        contrasts(arms, labels & [True, False, True, True], patients, DECLARED)
    with pytest.raises(DataError, match="patients: 5 for 300 records"):
        contrasts(arms, labels, patients[:5], DECLARED)


def test_classes_outside_the_fixed_set_do_not_count() -> None:
    arms, labels, patients = cohort()
    counted = np.array([True, True, False, True])
    margins = {"auroc": 0.01}
    without = contrasts(arms, labels & counted, patients, DECLARED[:1], classes=counted, margins=margins, n_draws=10)[0]
    kept = contrasts(
        {arm: blocks[:, :, counted] for arm, blocks in arms.items()},
        labels[:, counted],
        patients,
        DECLARED[:1],
        margins=margins,
        n_draws=10,
    )[0]
    assert without == kept
