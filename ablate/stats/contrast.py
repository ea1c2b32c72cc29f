"""Declared contrasts of arms: estimated on the test fold, corrected as families, and judged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ablate.errors import SpecError
from ablate.stats.evaluation import Evaluation, evaluate
from ablate.stats.hypothesis_test import holm, holm_behind, sign_flip, tost
from ablate.stats.metrics import METRICS
from ablate.stats.verdict import Claim, Verdict, decide

MIN_TEST_BLOCKS = 5  # fewer blocks screen: an interval, no p-value


@dataclass(frozen=True)
class ContrastSpec:
    """A weighted combination of arms, declared before the test fold is opened; the weights sum to zero."""

    name: str
    weights: Mapping[str, float]
    claim: Claim = Claim.GREATER

    @classmethod
    def between(cls, name: str, *, arm: str, baseline: str, claim: Claim = Claim.GREATER) -> "ContrastSpec":
        """``arm`` minus ``baseline``."""
        return cls(name, {arm: 1.0, baseline: -1.0}, claim)

    @classmethod
    def interaction(cls, name: str, *, both: str, first: str, second: str, neither: str) -> "ContrastSpec":
        """What two components do together beyond the sum of what each does: (both - first) - (second - neither)."""
        return cls(name, {both: 1.0, first: -1.0, second: -1.0, neither: 1.0}, Claim.DIFFERENT)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One declared contrast in one context by one metric.

    Attributes:
        relative: difference over the baseline's score; NaN for an interaction.
        ci_low, ci_high: 95 % interval from both sources of variance.
        p, p_holm: against no difference, raw and corrected in its family; NaN where not tested (``note`` says why).
        sd_seeds: standard deviation over blocks; sd_patients: over test folds, of the block-averaged difference.
        p_sign_flip: exact, over seeds only.
        p_superior: probability that the next replicate, on other patients, scores higher in the arm.
        ci_boot_low, ci_boot_high: 95 % crossed Bayesian bootstrap interval, percentiles. It shows skewness; it is too
            narrow where classes are rare or blocks few (``benchmarks/calibration.md``), so verdicts do not use it.
        tost_p, tost_p_holm: against a difference of ``margin`` or more; NaN without a margin.
        df: degrees of freedom behind the interval and p.
    """

    name: str
    context: Mapping[str, Any]
    metric: str
    claim: Claim
    n_blocks: int
    n_patients: int
    n_classes: int
    difference: float
    relative: float
    ci_low: float
    ci_high: float
    p: float
    p_holm: float = math.nan
    sd_seeds: float
    sd_patients: float
    df: float
    p_sign_flip: float
    p_superior: float
    ci_boot_low: float
    ci_boot_high: float
    margin: float | None
    tost_p: float
    tost_p_holm: float = math.nan
    verdict: Verdict = Verdict.UNRESOLVED
    note: str = ""
    block_differences: tuple[float, ...] = field(repr=False)


def contrasts(
    arms: Mapping[str, Float[np.ndarray, "block record class"]],
    labels: Shaped[np.ndarray, "record class"],
    patients: Int[np.ndarray, "record"],
    declared: Sequence[ContrastSpec],
    *,
    margins: Mapping[str, float] | None = None,
    classes: Bool[np.ndarray, "class"] | None = None,
    context: Mapping[str, Any] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
    alpha: float = 0.05,
) -> list[Contrast]:
    """Estimate and judge the declared contrasts of one context, by AUROC and by AUPRC.

    Several contexts: ``estimate`` each, then ``judge`` all together, as they share their families of tests.

    Args:
        arms: predicted probabilities; the same block index is the same replicate in every arm.
        margins: by metric, the difference below which arms count as equivalent.
        classes: the fixed set of classes that counts; all when None.

    Raises:
        SpecError: a contrast names an unknown arm or its weights do not sum to zero, or there are too few blocks.
        DataError: the set of classes is empty, one of its classes lacks an outcome, or shapes differ.
    """
    _check(declared, arms)
    named = {arm: arms[arm] for arm in arms if any(arm in spec.weights for spec in declared)}
    evaluation = evaluate(named, labels, patients, classes=classes, n_draws=n_draws, seed=seed)
    return judge(estimate(evaluation, declared, margins=margins, context=context), alpha=alpha)


def estimate(
    evaluation: Evaluation,
    declared: Sequence[ContrastSpec],
    *,
    margins: Mapping[str, float] | None = None,
    context: Mapping[str, Any] | None = None,
) -> list[Contrast]:
    """Contrasts without corrected p-values and verdicts; arguments and errors as ``contrasts``."""
    _check(declared, evaluation.class_scores["auroc"])
    return [
        _contrast(evaluation, spec, metric, (margins or {}).get(metric), context or {})
        for metric in METRICS
        for spec in declared
    ]


def judge(estimated: Sequence[Contrast], *, alpha: float = 0.05) -> list[Contrast]:
    """Correct the p-values of all contrasts and contexts as two families, AUPRC behind AUROC, and give verdicts."""
    family = [np.array([contrast.metric == metric for contrast in estimated], dtype=bool) for metric in METRICS]
    p = np.array([contrast.p for contrast in estimated])
    equivalence_p = np.array([contrast.tost_p for contrast in estimated])
    p_holm, tost_holm = np.full(len(p), np.nan), np.full(len(p), np.nan)
    p_holm[family[0]] = holm(p[family[0]])
    passed = {_key(contrast) for contrast, value in zip(estimated, p_holm, strict=True) if value < alpha}
    gate = np.array([_key(contrast) in passed for contrast in estimated], dtype=bool)
    p_holm[family[1]] = holm_behind(p[family[1]], gate[family[1]])
    for members in family:
        tost_holm[members] = holm(equivalence_p[members])
    return [
        _judged(contrast, float(p_holm[i]), float(tost_holm[i]), alpha=alpha) for i, contrast in enumerate(estimated)
    ]


def _judged(contrast: Contrast, p_holm: float, tost_p_holm: float, *, alpha: float) -> Contrast:
    gated = math.isnan(p_holm) and not math.isnan(contrast.p)
    return replace(
        contrast,
        p_holm=p_holm,
        tost_p_holm=tost_p_holm,
        verdict=decide(contrast.difference, claim=contrast.claim, p=p_holm, equivalence_p=tost_p_holm, alpha=alpha),
        note="not tested: the same contrast by AUROC did not pass" if gated else contrast.note,
    )


def _contrast(
    evaluation: Evaluation, spec: ContrastSpec, metric: str, margin: float | None, context: Mapping[str, Any]
) -> Contrast:
    differences = evaluation.scores(metric, spec.weights)
    effect = evaluation.effect(metric, spec.weights)
    tested = effect.n_blocks >= MIN_TEST_BLOCKS
    drawn = evaluation.draws.differences(metric, spec.weights)
    boot_low, boot_high = np.quantile(evaluation.draws.mean(drawn), [0.025, 0.975])
    return Contrast(
        name=spec.name,
        context=dict(context),
        metric=metric,
        claim=spec.claim,
        n_blocks=effect.n_blocks,
        n_patients=len(np.unique(evaluation.patients)),
        n_classes=evaluation.labels.shape[1],
        difference=effect.difference,
        relative=_relative(evaluation, spec, metric, effect.difference),
        ci_low=effect.ci_low,
        ci_high=effect.ci_high,
        p=effect.p if tested else math.nan,
        sd_seeds=effect.sd_seeds,
        sd_patients=effect.sd_patients,
        df=effect.df,
        p_sign_flip=sign_flip(differences) if tested else math.nan,
        p_superior=float(evaluation.draws.mean((drawn > 0) + 0.5 * (drawn == 0)).mean()),
        ci_boot_low=float(boot_low),
        ci_boot_high=float(boot_high),
        margin=margin,
        tost_p=tost(effect, margin) if tested else math.nan,
        note="" if tested else f"{effect.n_blocks} blocks screen: no test below {MIN_TEST_BLOCKS}",
        block_differences=tuple(map(float, differences)),
    )


def _relative(evaluation: Evaluation, spec: ContrastSpec, metric: str, difference: float) -> float:
    """Difference over the baseline's score, where exactly one arm is subtracted from one."""
    subtracted = {arm: -weight for arm, weight in spec.weights.items() if weight < 0}
    if len(spec.weights) != 2 or len(subtracted) != 1:
        return math.nan
    return difference / float(evaluation.scores(metric, subtracted).mean())


def _key(contrast: Contrast) -> tuple[str, str]:
    return contrast.name, repr(sorted(contrast.context.items()))


def _check(declared: Sequence[ContrastSpec], arms: Mapping[str, Any]) -> None:
    for spec in declared:
        unknown = sorted(set(spec.weights) - set(arms))
        if unknown:
            raise SpecError(
                f"contrast {spec.name}: unknown arm {unknown[0]}; expected one of {', '.join(sorted(arms))}"
            )
        if not spec.weights or abs(sum(spec.weights.values())) > 1e-9:
            raise SpecError(f"contrast {spec.name}: weights {dict(spec.weights)}; expected them to sum to 0")
