"""The one place where a study is judged: page, terminal and calibration call ``judge``, nothing else gives verdicts."""

import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import special

from ablate.stats import spending
from ablate.stats.contrast import Contrast, Lack, Verdict
from ablate.stats.declaration import MIN_TEST_BLOCKS, Claim, Declaration, claim_of
from ablate.stats.effect import Effect, crossed_covariance
from ablate.stats.evaluation import Evaluation, Units
from ablate.stats.family import Family, joint
from ablate.stats.graph import Levels, Place, levels
from ablate.stats.hypothesis_test import MOST_FLIPPED, sign_flip, tost
from ablate.stats.metrics import METRICS
from ablate.stats.prospect import prospect

Key = tuple[str, str, str]  # context, contrast and metric


def judge(
    declared: Declaration,
    evaluations: Mapping[str, Evaluation],
    *,
    refused: Sequence[tuple[str, str]] = (),
    unsettled: Mapping[str, Sequence[str]] | None = None,
    is_over: bool = True,
) -> list[Contrast]:
    """Judge every declared contrast that has an answer; those without keep their place in their family.

    Each contrast is looked at with the blocks of every look that is complete. By AUROC, families are judged in their
    order by the distribution of max |t|; by AUPRC, a contrast may claim a difference only where it does by AUROC, with
    its share of the error that this sets free (``graph``).
    A contrast that is decided at a look stays as it was then. An extension after the last look is one more look, with
    the level that was kept for it (``Declaration.stages``).

    Args:
        declared: what was fixed before the test fold was opened.
        evaluations: by context; a context without one has no answers.
        refused: contexts and contrasts that must not be answered.
        unsettled: arms by context whose search is not settled; their contrasts claim nothing.
        is_over: whether no more blocks will come: the latest look is then the last, even with too few blocks.

    Returns:
        By context, contrast in the declared order and metric.

    Raises:
        SpecError: a contrast names an arm that was not evaluated.
    """
    own, *further = declared.stages()
    is_extended = bool(further)
    judged = _through_looks(
        own,
        _first_blocks(evaluations, own.looks[-1]) if is_extended else evaluations,
        refused=refused,
        unsettled=unsettled or {},
        is_over=is_over or is_extended,
    )
    judged = {key: _of_whole_level(contrast, own.alpha, declared.alpha) for key, contrast in judged.items()}
    for number, stage in enumerate(further, start=len(own.looks) + 1):
        answers = _first_blocks(evaluations, stage.looks[-1])
        short = [
            (context, name)
            for context, evaluation in answers.items()
            for name, weights in declared.weights.items()
            if (context, name) not in refused and len(evaluation.complete(weights)) < stage.looks[-1]
        ]
        claimed = {key for key, contrast in judged.items() if contrast.is_decided and _claims(contrast)}
        at_stage = _judge_at(
            stage,
            answers,
            most_blocks=stage.looks[-1],
            refused=[*refused, *short],
            unsettled=unsettled or {},
            is_over=True,
            claimed=claimed,
        )
        judged |= {
            key: replace(_of_whole_level(contrast, stage.alpha, declared.alpha), n_looks=number)
            for key, contrast in at_stage.items()
            if not judged[key].is_decided
        }
    return list(judged.values())


def _claims(contrast: Contrast) -> bool:
    return contrast.verdict in (Verdict.SUPPORTED, Verdict.REFUTED)


def _first_blocks(evaluations: Mapping[str, Evaluation], n_blocks: int) -> dict[str, Evaluation]:
    """The same as they were before later blocks."""
    return {context: evaluation.first(n_blocks) for context, evaluation in evaluations.items()}


def _of_whole_level(contrast: Contrast, own: float, whole: float) -> Contrast:
    """With its adjusted p-value measured by the level of the whole study, of which it was judged with a part."""
    if own == whole or math.isnan(contrast.p_adjusted):
        return contrast
    p = min(1.0, contrast.p_adjusted * whole / own) if own > 0 else 1.0
    return replace(contrast, p_adjusted=_on_its_side(p, whole, is_claimed=contrast.p_adjusted <= own))


def _on_its_side(p_adjusted: float, alpha: float, *, is_claimed: bool) -> float:
    """Rounding must not part the p-value from what is claimed."""
    return min(p_adjusted, alpha) if is_claimed else max(p_adjusted, math.nextafter(alpha, 1))


def _through_looks(
    declared: Declaration,
    evaluations: Mapping[str, Evaluation],
    *,
    refused: Sequence[tuple[str, str]],
    unsettled: Mapping[str, Sequence[str]],
    is_over: bool,
) -> dict[Key, Contrast]:
    """Judge at every look that is complete; what one of them decides stays."""
    most = max(
        (
            len(evaluation.complete(weights))
            for evaluation in evaluations.values()
            for weights in declared.weights.values()
            if set(weights) <= set(evaluation.blocks[METRICS[0]])
        ),
        default=0,
    )
    decided: dict[Key, Contrast] = {}
    for look in range(1, len(declared.looks) + 1):
        is_latest = look == len(declared.looks) or most < declared.looks[look]
        judged = _judge_at(
            replace(declared, looks=declared.looks[:look]),
            evaluations,
            most_blocks=declared.looks[-1],
            refused=refused,
            unsettled=unsettled,
            is_over=is_over and is_latest,
            claimed={key for key, contrast in decided.items() if contrast.verdict is not Verdict.EQUIVALENT},
        )
        decided |= {key: contrast for key, contrast in judged.items() if key not in decided and contrast.is_decided}
        if is_latest:
            break
    return {key: decided.get(key, contrast) for key, contrast in judged.items()}


def _judge_at(
    declared: Declaration,
    evaluations: Mapping[str, Evaluation],
    *,
    most_blocks: int,
    refused: Sequence[tuple[str, str]],
    unsettled: Mapping[str, Sequence[str]],
    is_over: bool,
    claimed: Set[Key],
) -> dict[Key, Contrast]:
    """Judge with the blocks up to the last of ``declared.looks``; later ones have no say in what a look decides."""
    answers = {
        (context, name, metric): answer
        for context, evaluation in evaluations.items()
        for name, weights in declared.weights.items()
        if (context, name) not in refused
        for metric in METRICS
        if (answer := _answer(declared, evaluation, metric, weights, most_blocks, is_over=is_over)) is not None
    }
    families = {
        metric: {
            (context, family.name): _joint([answers.get((context, name, metric)) for name in family.contrasts])
            for context in declared.contexts
            for family in declared.families
        }
        for metric in METRICS
    }
    study = _Study(declared, answers, families, claimed)
    return {
        key: study.contrast(
            key, evaluations[key[0]], is_settled=not set(unsettled.get(key[0], ())) & set(declared.weights[key[1]])
        )
        for context in declared.contexts
        for name in declared.weights
        for metric in METRICS
        if (key := (context, name, metric)) in answers
    }


@dataclass(frozen=True)
class _Answer:
    """A contrast at each of its looks.

    Attributes:
        units, n_blocks: of each look.
        fractions: of the information at each look.
        is_last: whether the last look here is the last one there will be.
    """

    units: tuple[Units, ...]
    n_blocks: tuple[int, ...]
    fractions: tuple[float, ...]
    most_blocks: int
    is_last: bool

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        return tuple(units.effect() for units in self.units)

    @property
    def is_tested(self) -> bool:
        return self.n_blocks[-1] >= MIN_TEST_BLOCKS

    @cached_property
    def p_by_look(self) -> tuple[float, ...]:
        """Sequential p-value after each look."""
        if not self.is_tested:
            return (1.0,) * len(self.effects)
        alone = [effect.p for effect in self.effects]
        return spending.sequential_p(alone, self.fractions)

    def interval(self, look: int, level: float) -> tuple[float, float]:
        """That holds the truth at all looks together with probability 1 - ``level``."""
        effect = self.effects[look]
        half = effect.reference.quantile(spending.nominal_level(level, self.fractions[: look + 1]))
        return effect.difference - half, effect.difference + half


def _answer(
    declared: Declaration,
    evaluation: Evaluation,
    metric: str,
    weights: Mapping[str, float],
    most_blocks: int,
    *,
    is_over: bool,
) -> _Answer | None:
    blocks = evaluation.complete(weights)
    reached = [look for look in declared.looks if look <= len(blocks)]
    if len(blocks) >= 2 and (not reached or (is_over and reached[-1] < len(blocks))):
        reached.append(len(blocks))
    reached = [look for look in reached if look >= MIN_TEST_BLOCKS] or reached[-1:]
    if not reached or len(blocks) < 2:
        return None
    is_last = is_over or reached[-1] >= most_blocks
    units = tuple(evaluation.units(metric, weights, blocks[:look]) for look in reached)
    fractions = _fractions(units, reached, most_blocks, by_blocks=evaluation.searches is not None)
    if is_last:
        fractions = [min(1.0, fraction / fractions[-1]) for fraction in fractions]
    return _Answer(units, tuple(reached), tuple(fractions), most_blocks, is_last)


def _fractions(units: Sequence[Units], reached: Sequence[int], most: int, *, by_blocks: bool) -> list[float]:
    """Information at each look as a share of that at the last planned one; never falling.

    Several searches share the blocks, and information grows with both; counting blocks then spends less at first.
    """
    if by_blocks:
        return [min(1.0, look / most) for look in reached]
    last = units[-1].effect()
    shares = spending.information_fractions(
        reached, var_seeds=last.sd_seeds**2, var_patients=last.sd_patients**2, most=most
    )
    return [float(share) for share in shares]


def _joint(answers: Sequence[_Answer | None]) -> Family:
    """The family at the latest look of each contrast."""
    size = len(answers)
    here = [place for place, answer in enumerate(answers) if answer is not None]
    covariances = np.zeros((2, size, size))
    members = [answers[place] for place in here]
    latest = [answer.units[-1] for answer in members if answer is not None]
    if latest:
        n_units = min(len(units.differences) for units in latest)
        differences = np.stack([units.differences[:n_units] for units in latest])
        parts = np.stack([units.parts[:n_units] for units in latest])
        where = np.ix_(here, here)
        covariances[0][where] = np.atleast_2d(np.cov(differences)) / n_units
        covariances[1][where] = crossed_covariance(parts)
    references = [None if answer is None else answer.effects[-1].reference for answer in answers]
    return joint(references, *covariances)


@dataclass(frozen=True)
class _Study:
    declared: Declaration
    answers: Mapping[Key, _Answer]
    families: Mapping[str, dict[Place, Family]]
    claimed: Set[Key]

    @cached_property
    def levels(self) -> Levels:
        return levels(self.declared, self.families, self._p_values)

    @cached_property
    def alone(self) -> dict[Key, float]:
        """Level of each contrast by itself at which the intervals of its family hold together."""
        return {
            (context, name, metric): self.families[metric][context, family.name].single(self.declared.alpha)
            for context in self.declared.contexts
            for family in self.declared.families
            for metric in METRICS
            for name in family.contrasts
        }

    @cached_property
    def equivalent_at(self) -> dict[Key, int]:
        """First look whose interval lies within the margin, of the contrasts that have one."""
        first_looks = {}
        for key, answer in self.answers.items():
            margin = self.declared.margins.get(key[2])
            if margin is None or not answer.is_tested:
                continue
            for look in range(len(answer.effects)):
                low, high = answer.interval(look, self.alone[key])
                if -margin < low and high < margin:
                    first_looks[key] = look
                    break
        return first_looks

    def p(self, key: Key) -> float:
        """Sequential p-value up to the look that calls it equivalent; 1 without an answer, 0 where a claim was made."""
        if key in self.claimed:
            return 0.0
        answer = self.answers.get(key)
        return 1.0 if answer is None else answer.p_by_look[self.equivalent_at.get(key, -1)]

    def _p_values(self, metric: str, context: str, names: Sequence[str]) -> Float[np.ndarray, "contrast"]:
        return np.array([self.p((context, name, metric)) for name in names])

    def _family_of(self, name: str) -> str:
        return next(of.name for of in self.declared.families if name in of.contrasts)

    def limit(self, key: Key) -> float:
        """Greatest sequential p-value with which a contrast may claim a difference; 0 where a gate is shut."""
        context, name, metric = key
        if metric != "auroc":
            is_shut = self.p((context, name, "auroc")) > self.limit((context, name, "auroc"))
            return 0.0 if is_shut else self.levels.of_auprc[context, name]
        level = self.levels.of_family[context, self._family_of(name)]
        return self.families[metric][context, self._family_of(name)].single(level) if level > 0 else 0.0

    def p_adjusted(self, key: Key) -> float:
        """At the level of its family, or its own by AUPRC, of the study's; by AUPRC at least that by AUROC."""
        context, name, metric = key
        place, alpha = (context, self._family_of(name)), self.declared.alpha
        is_first = metric == "auroc"
        level = self.levels.of_family[place] if is_first else self.levels.of_auprc[context, name]
        if level <= 0:
            return 1.0
        of_family = self.families[metric][place].adjusted(self.p(key)) if is_first else self.p(key)
        adjusted = min(1.0, of_family * alpha / level)
        if not is_first:
            adjusted = max(adjusted, self.p_adjusted((context, name, "auroc")))
        return _on_its_side(adjusted, alpha, is_claimed=self.p(key) <= self.limit(key))

    def contrast(self, key: Key, evaluation: Evaluation, *, is_settled: bool) -> Contrast:
        context, name, metric = key
        answer, weights, margin = self.answers[key], self.declared.weights[name], self.declared.margins.get(metric)
        may_claim = answer.is_tested and is_settled and self.p(key) <= self.limit(key)
        look = self._deciding_look(key, may_claim=may_claim)
        effect, units = answer.effects[look], answer.units[look]
        claims = may_claim and effect.difference != 0
        low, high, within = self._interval(key, look, claims=claims)
        verdict = _verdict(effect.difference, claim_of(weights), claims=claims, within=within and is_settled)
        tested = answer.is_tested
        return Contrast(
            name=name,
            context=json.loads(context),
            metric=metric,
            family=self._family_of(name),
            claim=claim_of(weights),
            n_blocks=answer.n_blocks[look],
            n_units=effect.n_units,
            n_looks=look + 1,
            n_patients=evaluation.n_patients,
            n_classes=evaluation.n_classes,
            difference=effect.difference,
            relative=_relative(evaluation, weights, metric, answer.n_blocks[look], effect.difference),
            simultaneous_low=low,
            simultaneous_high=high,
            ci_low=effect.ci_low,
            ci_high=effect.ci_high,
            p=effect.p if tested else math.nan,
            p_adjusted=self.p_adjusted(key) if tested else math.nan,
            sd_seeds=effect.sd_seeds,
            sd_patients=effect.sd_patients,
            df=effect.reference.df,
            p_sign_flip=sign_flip(units.differences) if tested and effect.n_units <= MOST_FLIPPED else math.nan,
            p_superior=effect.p_superior,
            margin=margin,
            p_equivalence=tost(effect, margin) if tested else math.nan,
            prospect=math.nan if answer.is_last else _prospect(answer, self.alone[key], margin),
            verdict=verdict if tested else Verdict.NOT_TESTED,
            lacks=self._lacks(key, verdict, effect, is_settled=is_settled) if tested else (Lack.BLOCKS,),
            within_margin=within,
            block_differences=tuple(map(float, units.differences)),
        )

    def _deciding_look(self, key: Key, *, may_claim: bool) -> int:
        """First look that claims a difference or calls it equivalent; the latest where none does."""
        answer = self.answers[key]
        if may_claim:
            passed = (look for look, p in enumerate(answer.p_by_look) if p <= self.limit(key))
            return next(passed, len(answer.effects) - 1)  # none any more where an earlier look has claimed it
        return self.equivalent_at.get(key, len(answer.effects) - 1)

    def _interval(self, key: Key, look: int, *, claims: bool) -> tuple[float, float, bool]:
        """Simultaneous interval, and whether it lies within the margin; without zero exactly where a claim is made."""
        answer, margin = self.answers[key], self.declared.margins.get(key[2])
        if not answer.is_tested:
            return math.nan, math.nan, False
        low, high = answer.interval(look, self.alone[key])
        within = margin is not None and -margin < low and high < margin
        if not claims:
            return min(low, 0.0), max(high, 0.0), within
        if answer.effects[look].difference > 0:  # rounding must not part the interval from the claim
            return max(low, math.ulp(0.0)), high, within
        return low, min(high, -math.ulp(0.0)), within

    def _lacks(self, key: Key, verdict: Verdict, effect: Effect, *, is_settled: bool) -> tuple[Lack, ...]:
        if verdict is not Verdict.NOT_ESTABLISHED:
            return ()
        # By AUPRC, once its gate is open, the level is its own and only a clearer difference helps.
        level = self.limit(key) if key[2] != "auroc" and self.limit(key) > 0 else self.alone[key]
        if self.p(key) <= level:
            return (Lack.GATE,) if is_settled else (Lack.SEARCH,)
        margin = self.declared.margins.get(key[2])
        # With any number of blocks only the patients' part of the interval stays.
        least = -float(special.stdtrit(min(effect.df_patients, 1e9), level / 2)) * effect.sd_patients
        away = abs(effect.difference)
        reachable = away > least or (margin is not None and away + least < margin)
        missing = Lack.BLOCKS if reachable else Lack.PATIENTS
        return (missing,) if is_settled else (Lack.SEARCH, missing)


def _verdict(difference: float, claim: Claim, *, claims: bool, within: bool) -> Verdict:
    if claims:
        return Verdict.SUPPORTED if claim is Claim.DIFFERENT or difference > 0 else Verdict.REFUTED
    return Verdict.EQUIVALENT if within else Verdict.NOT_ESTABLISHED


def _prospect(answer: _Answer, alone: float, margin: float | None) -> float:
    """That of a contrast with its latest effect."""
    effect = answer.effects[-1]
    last_error = math.sqrt(effect.sd_patients**2 + effect.sd_seeds**2 / answer.most_blocks)
    return float(
        prospect(effect.difference, error=effect.reference.error, last_error=last_error, level=alone, margin=margin)
    )


def _relative(
    evaluation: Evaluation, weights: Mapping[str, float], metric: str, n_blocks: int, difference: float
) -> float:
    """Difference over the baseline's score, where one arm is subtracted from another."""
    if claim_of(weights) is not Claim.GREATER:
        return math.nan
    baseline = {arm: 1.0 for arm, weight in weights.items() if weight < 0}
    blocks = evaluation.complete(weights)[:n_blocks]
    return difference / float(evaluation.units(metric, baseline, blocks).differences.mean())
