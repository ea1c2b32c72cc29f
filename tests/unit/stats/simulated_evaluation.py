"""Evaluations that never were: scores and patients' parts of four arms, with known effects and spreads."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from ablate.stats.declaration import Declaration, default_families
from ablate.stats.evaluation import Evaluation
from ablate.stats.metrics import METRICS

ARMS = ("ft", "sd", "lp", "lp_sd")
WEIGHTS = {
    "sd - ft": {"sd": 1.0, "ft": -1.0},
    "lp - ft": {"lp": 1.0, "ft": -1.0},
    "lp_sd - ft": {"lp_sd": 1.0, "ft": -1.0},
    "sd x lp": {"lp_sd": 1.0, "sd": -1.0, "lp": -1.0, "ft": 1.0},
}
CONTEXTS = tuple(json.dumps({"data_fraction": fraction}) for fraction in (0.1, 1.0))


def declared(looks: Sequence[int] = (5,), **more: object) -> Declaration:
    given = {"contexts": CONTEXTS, "margins": {"auroc": 0.005, "auprc": 0.01}, "weights": WEIGHTS, **more}
    return Declaration(families=default_families(given["weights"], "ft"), looks=tuple(looks), **given)


def evaluation(
    rng: np.random.Generator,
    *,
    n_blocks: int = 5,
    seeds: float = 0.004,
    patients: float = 0.002,
    effects: Mapping[str, float] | None = None,
    n_patients: int = 60,
    searches: Mapping[int, int] | None = None,
) -> Evaluation:
    """One context.

    Args:
        seeds, patients: standard deviations of an arm's score over blocks, and over test folds.
        effects: of the arms, on either metric.
    """
    unit = patients * np.sqrt(n_patients)
    blocks: dict = {metric: {} for metric in METRICS}
    for arm in ARMS:
        common = rng.normal(0, unit, n_patients)
        by_seed = rng.normal(0, seeds, n_blocks)
        for metric in METRICS:
            own = 0.8 * common + rng.normal(0, 0.6 * unit, n_patients)
            seen = own + rng.normal(0, 0.5 * unit, (n_blocks, n_patients))
            shift = 0.9 + (effects or {}).get(arm, 0.0)
            blocks[metric][arm] = {
                block: (
                    shift + 0.8 * by_seed[block] + rng.normal(0, 0.6 * seeds) + seen[block].mean(),
                    (seen[block] - seen[block].mean()) / n_patients,
                )
                for block in range(n_blocks)
            }
    return Evaluation(blocks, 5, searches)


def study(seed: int, **more: object) -> dict[str, Evaluation]:
    rng = np.random.default_rng(seed)
    return {context: evaluation(rng, **more) for context in CONTEXTS}
