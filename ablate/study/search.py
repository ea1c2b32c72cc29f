"""The search: params for each trial of an arm, the same way for every arm.

A proposal depends only on the spec, the trial's index and the results of earlier generations of the same arm and
context. Why: then the same study gives the same trials with one worker or with forty, and no arm's search learns from
another's. The price is that a generation waits for the one before; arms and contexts fill that time.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ablate import seeds
from ablate.domain import Domain, Scalar
from ablate.store.slot import Past, Slot
from ablate.study.plan import search_seed
from ablate.study.sampler import LATIN, POSTERIOR, ask
from ablate.study.space import HyperParameters
from ablate.study.spec import Spec
from ablate.study.subject import SUBJECT_KEYS
from ablate.study.thompson import drawn
from ablate.train.early_stopping import Rungs, at_updates, thresholds
from ablate.train.params import Params

History = Sequence[Past]
Diverged = Sequence[Mapping[str, Any]]  # params of trials whose training diverged


def propose(spec: Spec, slot: Slot, history: History, diverged: Diverged = ()) -> dict[str, Scalar]:
    """Params of a search trial: what the spec fixes, the context, and what the sampler proposes.

    Args:
        spec: the study.
        slot: a slot of its search phase.
        history: finished trials of earlier generations of this arm and context.
        diverged: those whose training diverged: a result too, worse than any score.
    """
    space = spec.arm_space(slot.arm)
    fixed = fixed_params(spec, slot.arm, slot.context)
    searched = {name: domain for name, domain in space.items() if name not in fixed}
    seed = search_seed(spec, slot.search)
    if spec.search.sampler.name == LATIN:
        return fixed | _latin(searched, place=slot.index, n=spec.budget.most_trials, seed=seed)
    starts = spec.starts(slot.arm) or [{}]
    if slot.index < len(starts):
        return fixed | start_values(spec.hyper_parameters, searched) | starts[slot.index]
    if slot.generation == 0 or not history or not searched:
        place = slot.index % spec.budget.generation
        return fixed | _latin(searched, place=place, n=spec.budget.generation, seed=seed, cube=slot.generation)
    n_started = max(spec.budget.generation, len(starts))
    return fixed | _proposed(spec, slot, searched, history, diverged, n_started=n_started)


def rungs(spec: Spec, slot: Slot, params: Mapping[str, Any], history: History) -> Rungs | None:
    """What a search trial must reach to be trained to its end; None where nothing.

    Trials are compared at equal updates of fine-tuning, also where the batch size or the number of epochs is searched.
    The probe's updates do not count: on cached features forty epochs of them cost a third of one epoch of fine-tuning.

    Args:
        spec: the study.
        slot: a slot of its search phase.
        params: that were proposed for it.
        history: finished trials of earlier generations of this arm and context.
    """
    early = spec.search.early_stopping
    if early is None:
        return None
    select, own = spec.objectives.select, Params.from_dict(params)
    curves = (
        at_updates(past.curve(select), batch_size=Params.from_dict(past.params).batch_size, own=own.batch_size)
        for past in history
    )
    return thresholds(early, curves, select=select, n_epochs=own.ft_epochs)


def fixed_params(spec: Spec, arm: str, context: Mapping[str, Any]) -> dict[str, Scalar]:
    """What is not searched in an arm: the spec's fixed params, the arm's own single values, and the context."""
    chosen = {name: domain.point for name, domain in {**spec.fixed, **spec.arm_space(arm)}.items()}
    crossed = {name: value for name, value in context.items() if name not in SUBJECT_KEYS}
    return {name: value for name, value in chosen.items() if value is not None} | crossed


def start_values(known: HyperParameters, searched: Mapping[str, Domain]) -> dict[str, Scalar]:
    """The routine's defaults where the arm allows them, else the nearest value or the first choice."""
    return {name: _nearest(known.usual[name], domain) for name, domain in searched.items()}


def _nearest(default: Any, domain: Domain) -> Scalar:
    if domain.choices:
        return default if default in domain else domain.choices[0]
    nearest = min(max(default, domain.low), domain.high)
    if nearest == 0 or (nearest == domain.low and default < domain.low):
        return domain.at(0.5)  # a component that is on starts from the middle of its range, not from hardly-on
    return int(nearest) if domain.integer else float(nearest)


def _latin(searched: Mapping[str, Domain], *, place: int, n: int, seed: int, cube: int = 0) -> dict[str, Scalar]:
    """Trial ``place`` of a Latin hypercube of ``n``; a parameter that two arms share takes the same values in both.

    Source: McKay, Beckman and Conover 1979; a stream for each parameter instead of one for all keeps arms alike.
    """
    params = {}
    for name, domain in searched.items():
        random = np.random.default_rng(seeds.derive(seed, "latin", cube, name))
        cell, within = random.permutation(n)[place], random.random(n)[place]
        params[name] = domain.at((cell + within) / n)
    return params


def _proposed(
    spec: Spec, slot: Slot, searched: Mapping[str, Domain], history: History, diverged: Diverged, *, n_started: int
) -> dict[str, Scalar]:
    """What the sampler makes of the history of this arm and context alone.

    TPE draws anew for each slot; other samplers are asked for their whole generation, since several would propose the
    same point again and again.
    """
    sampler, place = spec.search.sampler, slot.index % spec.budget.generation
    if sampler.name == POSTERIOR:
        margin = getattr(spec.margin, spec.objectives.select.removeprefix("val_"))
        seed = seeds.derive(spec.seed, sampler.name, f"{slot.chain}/{slot.generation}")
        finished = [*_told(history, spec.objectives.select), *((params, -math.inf) for params in diverged)]
        return drawn(finished, searched, margin, n=spec.budget.generation, seed=seed)[place]
    if sampler.name == "tpe":
        stream, place = slot.key, 0
    else:
        stream = slot.chain if sampler.has_state else f"{slot.chain}/{slot.generation}"
    return ask(
        sampler,
        searched,
        history,
        diverged,
        select=spec.objectives.select,
        n_before=slot.generation * spec.budget.generation,
        n_started=n_started,
        place=place,
        seed=seeds.derive(spec.seed, sampler.name, stream),
    )


def _told(history: History, select: str) -> list[tuple[Mapping[str, Any], float]]:
    """Params and scores; one that was stopped early counts as no better than any that was not."""
    worst = min((past.scores[select] for past in history if past.is_whole), default=math.inf)
    return [
        (past.params, past.scores[select] if past.is_whole else min(past.scores[select], worst)) for past in history
    ]
