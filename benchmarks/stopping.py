"""Does early stopping pay, and does it cost every arm the same: its rule replayed on the curves of real trials.

    PYTHONPATH=. python benchmarks/stopping.py [--table synthetic_10] [--orders 200]

Each replay takes the trials of an arm from ``benchmarks/response`` in a random order, one seed for each params, in
generations of four as a study does. Nothing is predicted: a trial that the rule stops costs the epochs that it had, and
may not be chosen. All rules are compared at equal seconds, those that eight and twelve trials without stopping take
in the same order. The regret is what the chosen trial misses of the best one of its arm's table. The order does not
follow from scores, as a sampler's would; what stopping does to a sampler is not in here.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from response import ARMS
from surface import rows

from ablate import seeds
from ablate.train.early_stopping import EarlyStopping, thresholds

HERE = Path(__file__).parent
RULES: dict[str, EarlyStopping | None] = {
    "none": None,
    **{f"best of {eta}, from epoch {first}": EarlyStopping(eta=eta, first_rung=first)
       for eta in (2, 3, 4) for first in (1, 2, 3)},
}  # fmt: skip
SCORE, GENERATION, BUDGETS = "val_auroc", 4, (8, 12)
Row = dict[str, Any]


def ordered(trials: Sequence[Row], random: np.random.Generator) -> list[Row]:
    """One trial of each params, in random order."""
    points = random.permutation(sorted({row["point"] for row in trials}))
    same = [[row for row in trials if row["point"] == point] for point in points]
    return [group[random.integers(len(group))] for group in same]


def cost(row: Row, n_epochs: int) -> float:
    """CPU seconds of the probe and of the first ``n_epochs`` epochs of fine-tuning."""
    return row["probe_cpu_s"] + (row["cpu_s"] - row["probe_cpu_s"]) * n_epochs / row["ft_epochs"]


def played(order: Sequence[Row], rule: EarlyStopping | None, limit_s: float) -> tuple[float, int]:
    """Best score of a whole trial within ``limit_s`` seconds, and trials begun; the last may not have ended."""
    curves: list[dict[int, float]] = []
    spent, best = 0.0, -math.inf
    for first in range(0, len(order), GENERATION):
        found = []
        for row in order[first : first + GENERATION]:
            curve = dict(enumerate(row["auroc_by_epoch"], start=1))
            n_epochs = row["ft_epochs"]
            rungs = thresholds(rule, curves, select=SCORE, n_epochs=n_epochs) if rule else None
            behind = [epoch for epoch, least in rungs.thresholds.items() if curve[epoch] < least] if rungs else []
            trained = min(behind, default=n_epochs)
            spent += cost(row, trained)
            if spent > limit_s:
                return best, len(curves) + len(found)
            if trained == n_epochs:
                best = max(best, row[SCORE])
            found.append({epoch: value for epoch, value in curve.items() if epoch <= trained})
        curves += found
    return best, len(curves)


def replayed(table: str, n_orders: int) -> dict[str, Any]:
    """By arm and rule: regret at equal seconds, and trials within them."""
    by_arm: dict[str, Any] = {}
    for arm in ARMS:
        trials = [row for row in rows(table) if row["arm"] == arm and row["outcome"] == "done"]
        random = np.random.default_rng(seeds.derive("stopping", table, arm))
        orders = [ordered(trials, random) for _ in range(n_orders)]
        top = max(row[SCORE] for row in trials)
        by_arm[arm] = {"params": len(orders[0]), "rules": {}}
        for name, rule in RULES.items():
            by_arm[arm]["rules"][name] = {n: summary(orders, rule, n, top) for n in BUDGETS}
    return by_arm


def summary(orders: Sequence[Sequence[Row]], rule: EarlyStopping | None, n_whole: int, top: float) -> dict[str, float]:
    """Regret within the seconds of ``n_whole`` trials that are not stopped, and trials begun within them."""
    limits = [sum(cost(row, row["ft_epochs"]) for row in order[:n_whole]) + 1e-6 for order in orders]
    ends = [played(order, rule, limit_s) for order, limit_s in zip(orders, limits, strict=True)]
    regrets = [top - best for best, _ in ends]
    return {
        "regret_median": round(float(np.median(regrets)), 5),
        "regret_p90": round(float(np.quantile(regrets, 0.9)), 5),
        "trials": float(np.median([n for _, n in ends])),
    }


def markdown(by_arm: dict[str, Any]) -> Iterator[str]:
    """Median / 90th percentile of the regret in thousandths, and trials, by rule and arm."""
    yield "| seconds of | rule | " + " | ".join(f"{arm} ({of['params']} params)" for arm, of in by_arm.items()) + " |"
    yield "|---|---|" + "---|" * len(by_arm)
    for n, name in product(BUDGETS, RULES):
        cells = [of["rules"][name][n] for of in by_arm.values()]
        shown = [f"{1000 * c['regret_median']:.1f} / {1000 * c['regret_p90']:.1f}, {c['trials']:g}" for c in cells]
        yield f"| {n} trials | {name} | " + " | ".join(shown) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", default="synthetic_10")
    parser.add_argument("--orders", type=int, default=200)
    asked = parser.parse_args()
    by_arm = replayed(asked.table, asked.orders)
    (HERE / "stopping.json").write_text(json.dumps({asked.table: by_arm}, indent=1) + "\n")
    print("\n".join(markdown(by_arm)))


if __name__ == "__main__":
    main()
