"""Proposals from the search's own posterior: each trial goes where one draw of the response is highest.

So trials gather where the score may be best, as often as it may be best there, and those of one generation differ. The
smoother that chooses the params in the end says where to look, which is why a search by it settles in fewer trials than
one by Optuna's samplers (``benchmarks/samplers.md``).

Source: Thompson 1933; for batches Kandasamy et al. 2018.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from ablate.domain import Domain, Scalar
from ablate.study.posterior import fits, mean_of
from ablate.study.settlement import bend_of, encoded, share, telling

_N_ANYWHERE, _N_NEAR, _N_BEST, _NEAR_SD = 256, 256, 8, 0.1


def drawn(
    history: Sequence[tuple[Mapping[str, Any], float]],
    searched: Mapping[str, Domain],
    margin: float,
    *,
    n: int,
    seed: int,
) -> list[dict[str, Scalar]]:
    """``n`` different proposals, each from a draw of its own; equal arguments give equal proposals on one machine.

    Args:
        history: params and score of each finished trial, at least one with a finite score.
        searched: domains with several values.
        margin: of equivalence, in the unit of the score.
    """
    with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
        scores = np.array([score for _, score in history], dtype=float)
        every = np.array([encoded(params, searched) for params, _ in history])
        history = [history[place] for place in telling(scores)]
        tried = np.array([encoded(params, searched) for params, _ in history])
        bend, scores = bend_of(np.array([score for _, score in history], dtype=float), margin)
        posteriors = fits(tried, bend.bent(scores), n=n, seed=seed)
        random = np.random.default_rng(seed)
        best = [history[place][0] for place in np.argsort(-mean_of(posteriors, tried))[:_N_BEST]]
        candidates = [_params(row, searched) for row in _shares(best, searched, random).tolist()]
        at = np.array([encoded(params, searched) for params in candidates])
        draws = np.concatenate([one.draws(at, n_draws=1, seed=seed + k) for k, one in enumerate(posteriors)])
    return [candidates[place] for place in _different(draws, at, every)]


def _different(
    draws: Float[np.ndarray, "draw point"],
    at: Float[np.ndarray, "point coordinate"],
    tried: Float[np.ndarray, "trial coordinate"],
) -> list[int]:
    """Where each draw is highest among the points that neither an earlier draw nor a finished trial has.

    A space of a few choices may hold no such point: then a trial is repeated, another one by each draw while there are.
    """
    places: list[int] = []
    taken = (at[:, None, :] == tried[None, :, :]).all(axis=2).any(axis=1)
    for draw in draws:
        if taken.all():
            taken = (at[:, None, :] == at[None, places, :]).all(axis=2).any(axis=1)
        if taken.all():
            taken[:] = False
        place = int(np.argmax(np.where(taken, -np.inf, draw)))
        taken |= (at == at[place]).all(axis=1)
        places.append(place)
    return places


def _shares(
    best: Sequence[Mapping[str, Any]], searched: Mapping[str, Domain], random: np.random.Generator
) -> Float[np.ndarray, "point parameter"]:
    """Places within each domain: some anywhere, some near the best trials, where half of the choices stay."""
    anywhere = random.random((_N_ANYWHERE, len(searched)))
    shares = np.array([[share(params[name], domain) for name, domain in searched.items()] for params in best])
    start = shares[random.integers(len(shares), size=_N_NEAR)]
    moved = start + random.normal(0, _NEAR_SD, start.shape)
    is_choice = np.array([bool(domain.choices) for domain in searched.values()])
    redrawn = np.where(random.random(start.shape) < 0.5, start, random.random(start.shape))
    near = np.where(is_choice, redrawn, moved)
    return np.concatenate([anywhere, np.clip(near, 0, 1 - 1e-9)])


def _params(shares: Sequence[float], searched: Mapping[str, Domain]) -> dict[str, Scalar]:
    return {name: domain.at(each) for (name, domain), each in zip(searched.items(), shares, strict=True)}
