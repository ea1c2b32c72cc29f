"""What a search has found and what more of it would bring: chosen params, the remaining gain, and optima at an edge.

The luckiest trial is not the best one: its score holds the luck of its seed. So params are chosen by the smoothed
score, the posterior mean over all trials of the arm, among the params that were tried.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from ablate.domain import Domain, Scalar
from ablate.study.posterior import Posterior, fits, mean_of

SETTLED_SHARE = 0.25  # of the margin; what truly remains is up to twice what is expected, see benchmarks/samplers.md
_MOST_TRIALS = 192
LEAST_TRIALS = 4  # fewer say nothing about how much is left
_N_SPREAD, _N_NEAR, _N_DRAWS, _N_POSTERIORS = 256, 96, 256, 8
_EDGE_SHARE = 0.2  # of a range: how far inside of an end the score must be clearly lower
_BEND_MARGINS = 4.0  # deficits beyond so many margins are bent, so that a cliff far below does not shape the summit


@dataclass(frozen=True)
class Edge:
    """An optimum at an end of a searched range: better params may lie beyond it."""

    name: str
    end: Literal["low", "high"]
    value: Scalar

    def __str__(self) -> str:
        return f"{self.name} at {self.value:g}, the {'lower' if self.end == 'low' else 'upper'} end of its range"


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What a search has come to.

    Attributes:
        params: chosen, of a finished trial.
        score: smoothed, of ``params``.
        remaining_gain: expected difference between the best params of the whole space and ``params``; infinite where
            too few trials tell.
        is_settled: the remaining gain is below a quarter of the margin.
        edges: ranges whose end is clearly better than what lies inside of it.
    """

    params: Mapping[str, Any]
    score: float
    remaining_gain: float
    is_settled: bool
    edges: tuple[Edge, ...] = ()


def settle(
    history: Sequence[tuple[Mapping[str, Any], float]], domains: Mapping[str, Domain], margin: float
) -> Settlement:
    """What the finished trials of one arm and context have come to; equal histories give equal bits on one machine.

    Args:
        history: params and score of each trial, the larger the better; minus infinity for a trial that diverged.
        domains: of what the arm searches; other params are carried along.
        margin: of equivalence, in the unit of the score.

    Raises:
        ValueError: no trial has a finite score.
    """
    scores = np.array([score for _, score in history], dtype=float)
    if not np.isfinite(scores).any():
        raise ValueError("no trial has a score")
    searched = {name: domain for name, domain in domains.items() if domain.point is None}
    luckiest = int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))
    if not searched or len(history) < LEAST_TRIALS:
        gain = math.inf if searched else 0.0
        return Settlement(
            params=dict(history[luckiest][0]), score=float(scores[luckiest]), remaining_gain=gain,
            is_settled=not searched,
        )  # fmt: skip
    with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
        return _settled(history, scores, searched, margin)


def _settled(
    history: Sequence[tuple[Mapping[str, Any], float]],
    scores: Float[np.ndarray, "trial"],
    searched: Mapping[str, Domain],
    margin: float,
) -> Settlement:
    kept = telling(scores)
    history, scores = [history[place] for place in kept], scores[kept]
    bend, finite = bend_of(scores, margin)
    tried = np.array([encoded(params, searched) for params, _ in history])
    posteriors = fits(tried, bend.bent(finite), n=_N_POSTERIORS, seed=0)
    smoothed = mean_of(posteriors, tried)
    chosen = int(np.argmax(np.where(np.isfinite(scores), smoothed, -np.inf)))
    at = np.concatenate([tried[[chosen]], _candidates(posteriors, tried, searched)])
    n_each = _N_DRAWS // _N_POSTERIORS
    draws = bend.straight(np.concatenate([one.draws(at, n_draws=n_each, seed=k) for k, one in enumerate(posteriors)]))
    gain = float((draws.max(axis=1) - draws[:, 0]).mean())
    return Settlement(
        params=dict(history[chosen][0]),
        score=float(bend.straight(smoothed[[chosen]])[0]),
        remaining_gain=gain,
        is_settled=gain < SETTLED_SHARE * margin,
        edges=_edges(posteriors, bend, tried[np.argsort(-smoothed)[:8]], searched, margin),
    )


@dataclass(frozen=True)
class Bend:
    """Scores as they are near the best one, and ever more compressed below it."""

    best: float
    scale: float

    def bent(self, scores: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Compressed."""
        below = np.maximum(self.best - scores, 0)
        return np.asarray(np.maximum(scores, self.best) - self.scale * np.log1p(below / self.scale))

    def straight(self, bent: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """In the unit of the score again."""
        below = np.maximum(self.best - bent, 0)
        return np.asarray(np.maximum(bent, self.best) - self.scale * np.expm1(below / self.scale))


def bend_of(scores: Float[np.ndarray, "trial"], margin: float) -> tuple[Bend, Float[np.ndarray, "trial"]]:
    """The bend for these scores, and the scores with what diverged clearly below all others."""
    finite = scores[np.isfinite(scores)]
    bend = Bend(float(finite.max()), _BEND_MARGINS * margin)
    return bend, np.where(np.isfinite(scores), scores, finite.min() - bend.scale)


def telling(scores: Float[np.ndarray, "trial"]) -> Int[np.ndarray, "kept"]:
    """Places of the trials that a posterior is fitted to: all, or of very many the best and some of the others.

    Its cost grows with the third power of their number, and trials far from the best say little about the best.
    """
    if len(scores) <= _MOST_TRIALS:
        return np.arange(len(scores))
    order = np.argsort(-scores, kind="stable")
    half = _MOST_TRIALS // 2
    others = order[half:][np.linspace(0, len(order) - half - 1, half).astype(int)]
    return np.sort(np.concatenate([order[:half], others]))


def encoded(params: Mapping[str, Any], searched: Mapping[str, Domain]) -> Float[np.ndarray, "coordinate"]:
    """Params as a point of the unit cube: a range is one coordinate, choices have one each."""
    coordinates: list[float] = []
    for name, domain in searched.items():
        if domain.choices:
            coordinates += [float(params[name] == choice) for choice in domain.choices]
        else:
            coordinates.append(share(params[name], domain))
    return np.array(coordinates)


def share(value: Scalar, domain: Domain) -> float:
    """Where in the domain a value lies, from 0 to 1; of choices the middle of its part."""
    if domain.choices:
        return (domain.choices.index(value) + 0.5) / len(domain.choices)
    number = float(value)
    if domain.log:
        return math.log(number / domain.low) / math.log(domain.high / domain.low)
    return (number - domain.low) / (domain.high - domain.low)


def _candidates(
    posteriors: Sequence[Posterior], tried: Float[np.ndarray, "trial coordinate"], searched: Mapping[str, Domain]
) -> Float[np.ndarray, "point coordinate"]:
    """Points all over the space, and more of them around the best ones."""
    spread = qmc.Sobol(len(searched), seed=0).random(_N_SPREAD)
    everywhere = np.array(
        [
            encoded(
                {name: domain.at(share) for (name, domain), share in zip(searched.items(), row, strict=True)}, searched
            )
            for row in spread.tolist()
        ]
    )
    points = np.concatenate([everywhere, tried])
    best = points[np.argsort(-mean_of(posteriors, points))[:8]]
    random = np.random.default_rng(0)
    near = best[random.integers(len(best), size=_N_NEAR)] + random.normal(0, 0.08, (_N_NEAR, tried.shape[1]))
    is_choice = np.concatenate([[bool(domain.choices)] * max(len(domain.choices), 1) for domain in searched.values()])
    near = np.where(is_choice, np.round(near), near)
    return np.unique(np.concatenate([points, np.clip(near, 0, 1)]), axis=0)


def _edges(
    posteriors: Sequence[Posterior],
    bend: Bend,
    best: Float[np.ndarray, "point coordinate"],
    searched: Mapping[str, Domain],
    margin: float,
) -> tuple[Edge, ...]:
    """Ends of ranges that are better than all inside of them, by more than a quarter of the margin over a fifth."""
    edges, place = [], 0
    for name, domain in searched.items():
        if domain.choices:
            place += len(domain.choices)
            continue
        shares = np.linspace(0, 1, round(1 / _EDGE_SHARE) * 2 + 1)
        profile = np.array([bend.straight(mean_of(posteriors, _with(best, place, share))).max() for share in shares])
        inside = round(_EDGE_SHARE * (len(shares) - 1))
        for end, at, within in (("low", 0, inside), ("high", len(shares) - 1, len(shares) - 1 - inside)):
            if int(np.argmax(profile)) == at and profile[at] - profile[within] > margin / 4:
                value = domain.low if end == "low" else domain.high
                edges.append(Edge(name, end, domain.typed(value)))  # type: ignore[arg-type]
        place += 1
    return tuple(edges)


def _with(
    points: Float[np.ndarray, "point coordinate"], place: int, share: float
) -> Float[np.ndarray, "point coordinate"]:
    changed = points.copy()
    changed[:, place] = share
    return changed
