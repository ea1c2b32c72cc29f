"""Searches replayed on a response surrogate, in generations as in a study, and the ways of choosing their params."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from surface import MARGINS, Truth

from ablate import seeds
from ablate.distribution import to_distribution
from ablate.study.sampler import LATIN, POSTERIOR, Sampler
from ablate.study.search import start_values
from ablate.study.settlement import encoded, settle
from ablate.study.space import POST_TRAINING
from ablate.study.thompson import drawn

Trial = tuple[dict[str, Any], float]
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def latin(truth: Truth, n: int, *, seed: int, cube: int = 0) -> list[dict[str, Any]]:
    """A Latin hypercube of ``n`` params."""
    shares = []
    for name in truth.domains:
        random = np.random.default_rng(seeds.derive(seed, "latin", cube, name))
        cell, within = random.permutation(n), random.random(n)
        shares.append((cell + within) / n)
    return [truth.params(row) for row in np.array(shares).T.tolist()]


def search(
    truth: Truth,
    sampler: Sampler,
    *,
    n_trials: int,
    generation: int,
    seed: int,
    until: Callable[[Sequence[Trial]], bool] = lambda _: False,
) -> list[Trial]:
    """Params and measured scores: the recipe's start, a Latin generation, then what ``sampler`` proposes.

    Args:
        until: asked after each generation whether that is enough.
    """
    random = np.random.default_rng(seeds.derive(seed, "noise"))
    if sampler.name == LATIN:
        return _measured(truth, latin(truth, n_trials, seed=seed), random)
    trials = _measured(
        truth, [start_values(POST_TRAINING, truth.domains), *latin(truth, generation, seed=seed)[1:]], random
    )
    distributions = {name: to_distribution(domain) for name, domain in truth.domains.items()}
    usual = Sampler("random") if sampler.name == POSTERIOR else sampler
    study = optuna.create_study(direction="maximize", sampler=usual.built(seed))
    _show(study, distributions, trials)
    while len(trials) < n_trials and not until(trials):
        size = min(generation, n_trials - len(trials))
        if sampler.name == "tpe":  # as in a study: each slot draws anew and sees finished trials only
            proposals = []
            for place in range(size):
                study.sampler = sampler.built(seeds.derive(seed, len(trials), place))
                asked = study.ask(distributions)
                proposals.append(dict(asked.params))
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
            found = _measured(truth, proposals, random)
            _show(study, distributions, found)
        elif sampler.name == POSTERIOR:
            margin, stream = MARGINS[truth.score], seeds.derive(seed, len(trials))
            found = _measured(truth, drawn(trials, truth.domains, margin, n=size, seed=stream), random)
        else:
            together = [study.ask(distributions) for _ in range(size)]
            found = _measured(truth, [dict(each.params) for each in together], random)
            for each, (_, score) in zip(together, found, strict=True):
                study.tell(each, score)
        trials += found
    return trials


def _show(study: optuna.Study, distributions: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    for params, score in trials:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(distributions), value=score))


def _measured(truth: Truth, params: Sequence[dict[str, Any]], random: np.random.Generator) -> list[Trial]:
    return list(zip(params, truth.measured(params, random).tolist(), strict=True))


def luckiest(truth: Truth, trials: Sequence[Trial]) -> Mapping[str, Any]:
    return max(trials, key=lambda trial: trial[1])[0]


def smoothed(truth: Truth, trials: Sequence[Trial]) -> Mapping[str, Any]:
    return settle(trials, truth.domains, MARGINS[truth.score]).params


def again(truth: Truth, trials: Sequence[Trial], *, k: int = 3, times: int = 2, seed: int = 0) -> Mapping[str, Any]:
    """The best by mean of the ``k`` best trials, each trained ``times`` more with fresh seeds, within the budget."""
    first = trials[: len(trials) - k * times]
    best = sorted(first, key=lambda trial: -trial[1])[:k]
    random = np.random.default_rng(seeds.derive(seed, "again"))
    means = []
    for params, score in best:
        fresh = truth.measured([params] * times, random)
        means.append((score + fresh.sum()) / (1 + times))
    return best[int(np.argmax(means))][0]


def distance(truth: Truth, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Between params, in parts of the space's diagonal."""
    return float(np.linalg.norm(encoded(one, truth.domains) - encoded(other, truth.domains))) / math.sqrt(
        len(truth.domains)
    )
