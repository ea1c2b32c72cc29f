"""Responses to replay searches on: what a table of real trials says, and what it leaves open.

A Gaussian process is fitted to a table of ``benchmarks/response`` over all of its arms together, with what an arm does
not have as a coordinate of its own. A search is replayed on one draw from it, not on its mean: the draw agrees with the
trials of the table and is as rough between them as they are, so what the table does not know is not taken for flat.
"""

import csv
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from response import ARMS, DROPPED, PROBED, TABLES, TABLES_DIR
from scipy import linalg
from scipy.stats import qmc

from ablate.domain import Domain
from ablate.study.posterior import Posterior, fit
from ablate.study.settlement import Bend

MARGINS = {"val_auroc": 0.005, "val_auprc": 0.01}
N_FEATURES = 768
N_SPREAD = 1024


@dataclass(frozen=True)
class Response:
    """What a table says.

    Attributes:
        trial_sd: of one trial about the mean of its params over seeds, what all trials of a seed share left out.
        seed_sd: of what all trials of a seed share.
        rows: of the table.
    """

    table: str
    score: str
    posterior: Posterior
    bend: Bend
    trial_sd: float
    seed_sd: float
    rows: tuple[dict[str, Any], ...]

    def predicted(self, params: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Expected score."""
        return self.bend.straight(self.posterior.mean(coordinates(self.table, params)))


def rows(table: str) -> list[dict[str, Any]]:
    """Trials of a table, numbers as numbers and curves as lists."""
    with (TABLES_DIR / f"{table}.csv").open() as file:
        return [{name: _value(name, cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def _value(name: str, cell: str) -> Any:
    if name in ("arm", "outcome"):
        return cell
    if name.endswith("_by_epoch"):
        return [float(each) for each in cell.split()]
    return int(cell) if name in ("point", "seed", "ft_epochs", "probe_epochs", "best_epoch", "updates") else float(cell)


def domains(table: str, arm: str) -> dict[str, Domain]:
    """What a search of ``arm`` chooses from: the ranges of the table."""
    (found,) = (each for each in TABLES if each.name == table)
    return {
        name: Domain(name=name, low=low, high=high, log=log, integer=integer)
        for name, (low, high, log, integer) in found.space().items()
        if (name != "drop_path_rate" or arm in DROPPED) and (name != "probe_epochs" or arm in PROBED)
    }


def coordinates(table: str, params: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Params of any arm as points of one cube."""
    ranges = domains(table, "lp_sd")

    def point(given: Mapping[str, Any]) -> list[float]:
        logs = [
            math.log(given[name] / ranges[name].low) / math.log(ranges[name].high / ranges[name].low)
            for name in ("ft_lr", "head_lr_ratio", "ft_epochs")
        ]
        rate, epochs = given.get("drop_path_rate", 0.0), given.get("probe_epochs", 0)
        return [*logs, rate / 0.5, epochs / 40, float(rate > 0), float(epochs > 0)]

    return np.array([point(given) for given in params])


@functools.cache
def response(table: str, score: str = "val_auroc") -> Response:
    """Fitted to the whole table."""
    return fitted(table, score, rows(table))


def fitted(table: str, score: str, trials: Sequence[dict[str, Any]]) -> Response:
    values = np.array([row.get(score, -math.inf) for row in trials])
    bend = Bend(float(values.max()), 4 * MARGINS[score])
    bent = bend.bent(np.where(np.isfinite(values), values, values[np.isfinite(values)].min() - bend.scale))
    points = coordinates(table, trials)
    seeds = np.array([row["seed"] for row in trials])
    near = values > values.max() - 8 * MARGINS[score]  # what seeds share is told by trials that are any good
    shared = np.zeros(seeds.max() + 1)
    for _ in range(3):
        posterior = fit(points, bent - shared[seeds])
        left = bent - posterior.mean(points)
        for seed in range(len(shared)):
            mine = left[near & (seeds == seed)]
            shared[seed] = mine.sum() / (len(mine) + 2)
        shared -= shared.mean()
    return Response(
        table=table,
        score=score,
        posterior=posterior,
        bend=bend,
        trial_sd=posterior.noise_sd,
        seed_sd=float(shared.std(ddof=1)),
        rows=tuple(trials),
    )


class Truth:
    """One response that the table allows, of one arm: the mean score over seeds, everywhere.

    A draw from the prior by random features, plus what the trials of the table correct in it.

    Source: Wilson et al. 2020, "Efficiently sampling functions from Gaussian process posteriors".
    """

    def __init__(self, of: Response, arm: str, *, seed: int) -> None:
        self.response, self.score, self.arm, self.domains = of, of.score, arm, domains(of.table, arm)
        random = np.random.default_rng(seed)
        posterior = of.posterior
        n = len(posterior.lengths)
        # The spectrum of a Matérn 5/2 process is a multivariate t distribution with 5 degrees of freedom.
        stretch = np.sqrt(5 / random.chisquare(5, N_FEATURES))
        self._waves = random.standard_normal((N_FEATURES, n)) * stretch[:, None] / posterior.lengths
        self._phases = random.uniform(0, 2 * math.pi, N_FEATURES)
        self._loads = random.standard_normal(N_FEATURES) * math.sqrt(2 * posterior.signal / N_FEATURES)
        measured = posterior.factor @ (posterior.factor.T @ posterior.weights)
        noise = random.standard_normal(len(measured)) * math.sqrt(posterior.noise)
        left = measured - self._prior(posterior.points) - noise
        self._weights = linalg.cho_solve((posterior.factor, True), left)
        self.best = self._maximum()

    def bent(self, params: Sequence[Mapping[str, Any]]) -> np.ndarray:
        at = coordinates(self.response.table, params)
        posterior = self.response.posterior
        standard = self._prior(at) + posterior._kernel(at, posterior.points) @ self._weights
        return posterior.centre + posterior.spread * standard

    def scores(self, params: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """True mean scores."""
        return self.response.bend.straight(self.bent(params))

    def measured(self, params: Sequence[Mapping[str, Any]], random: np.random.Generator) -> np.ndarray:
        """Scores of one trial each; what the trials of a seed share is left out, as it changes no order."""
        noise = random.normal(0, self.response.trial_sd, len(params))
        return self.response.bend.straight(self.bent(params) + noise)

    def regret(self, params: Mapping[str, Any]) -> float:
        """What these params miss of the best ones."""
        return max(self.best - float(self.scores([params])[0]), 0.0)

    def _prior(self, at: np.ndarray) -> np.ndarray:
        return np.cos(at @ self._waves.T + self._phases) @ self._loads

    def _maximum(self) -> float:
        names = list(self.domains)
        spread = qmc.Sobol(len(names), seed=5).random(N_SPREAD)
        random = np.random.default_rng(5)
        for width in (0.0, 0.1, 0.05, 0.02):
            if width:
                top = spread[np.argsort(-found)[:16]]
                moved = top[random.integers(len(top), size=256)] + random.normal(0, width, (256, len(names)))
                spread = np.concatenate([top, np.clip(moved, 0, 0.999999)])
            found = self.scores([self.params(row) for row in spread.tolist()])
        return float(found.max())

    def params(self, shares: Sequence[float]) -> dict[str, Any]:
        return {name: domain.at(share) for (name, domain), share in zip(self.domains.items(), shares, strict=True)}


def left_out(table: str, score: str = "val_auroc", n_parts: int = 8) -> dict[str, float]:
    """How well the surrogate predicts trials that it was not shown; all seeds of a point are left out together."""
    trials = [row for row in rows(table) if row["outcome"] == "done"]
    groups = np.array([(row["point"] * len(ARMS) + ARMS.index(row["arm"])) % n_parts for row in trials])
    values = np.array([row[score] for row in trials])
    predicted = np.empty(len(trials))
    for part in range(n_parts):
        if not (groups == part).any():
            continue
        others = [row for row, group in zip(trials, groups, strict=True) if group != part]
        mine = [row for row, group in zip(trials, groups, strict=True) if group == part]
        predicted[groups == part] = fitted(table, score, others).predicted(mine)
    good = values > values.max() - 8 * MARGINS[score]
    error = predicted - values
    ranks = [np.argsort(np.argsort(each)) for each in (predicted, values)]
    return {
        "trials": len(trials),
        "rank_correlation": round(float(np.corrcoef(ranks)[0, 1]), 3),
        "good_trials": int(good.sum()),
        "good_rms_error": round(float(np.sqrt((error[good] ** 2).mean())), 5),
        "good_sd": round(float(values[good].std()), 5),
    }
