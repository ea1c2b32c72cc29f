"""Is the importance right? Known functions of four parameters with shares .81 / .10 / .08 / .01, twenty studies each.

    python benchmarks/importance.py [--studies 20] [--trials 60] [--out results.json]

For each function, noise and way of sampling the trials: in how many studies the true order of all four is found and the
first is right, by ablate's functional ANOVA and by Optuna's fANOVA (a random forest) and PED-ANOVA; and how often
ablate's 95 % intervals cover the true shares.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator

from ablate.domain import Domain
from ablate.stats.importance import Importances, importance

SHARES = np.array([0.81, 0.10, 0.08, 0.01])
NAMES = list("abcd")
SPACE = {name: Domain(name=name, high=1.0) for name in NAMES}
OPTIMUM = np.array([0.3, -0.2, 0.5, 0.0])


def linear(u: np.ndarray) -> np.ndarray:
    return np.sqrt(3) * u


def mixed(u: np.ndarray) -> np.ndarray:
    waves = np.sqrt(2) * np.sin(np.pi * (u[:, 3] + 1))
    return np.stack(
        [np.sqrt(3) * u[:, 0], np.sqrt(3) * u[:, 1], (u[:, 2] ** 2 - 1 / 3) / np.sqrt(4 / 45), waves], axis=1
    )


def hills(u: np.ndarray) -> np.ndarray:
    """Each parameter has a best value inside its range; variance of (u - m)² is 4/45 + 4m²/3."""
    return -((u - OPTIMUM) ** 2) / np.sqrt(4 / 45 + 4 * OPTIMUM**2 / 3)


def cliffs(u: np.ndarray) -> np.ndarray:
    """Jumps, the worst for polynomials."""
    below = np.array([0.8, 0.5, 0.5, 0.5])
    return ((u + 1) / 2 > below) / np.sqrt(below * (1 - below))


FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": linear,
    "mixed": mixed,
    "hills": hills,
    "cliffs": cliffs,
}


def trials(function: Callable, *, n_trials: int, noise: float, sampler: str, seed: int) -> optuna.Study:
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(direction="maximize", sampler=samplers[sampler](seed=seed))
    rng = np.random.default_rng(seed)

    def objective(trial: optuna.Trial) -> float:
        point = np.array([[trial.suggest_float(name, 0, 1) for name in NAMES]])
        return float((function(2 * point - 1) @ np.sqrt(SHARES))[0] + noise * rng.normal())

    study.optimize(objective, n_trials=n_trials)
    return study


def judge(found: list[Mapping[str, float]]) -> tuple[int, int]:
    """In how many studies the whole order is true, and the first parameter."""
    orders = [sorted(shares, key=lambda name, shares=shares: -shares[name]) for shares in found]
    return sum(order == NAMES for order in orders), sum(order[0] == NAMES[0] for order in orders)


def covered(found: Importances) -> list[bool]:
    """A share that is truly nothing is allowed a thousandth: nobody reports less."""
    return [
        found.main[name].low - 1e-3 <= true <= found.main[name].high + 1e-3
        for name, true in zip(NAMES, SHARES, strict=True)
    ]


def measure(function: str, *, noise: float, sampler: str, n_studies: int, n_trials: int) -> dict:
    ours, forest, ped, coverage, stable, taken = [], [], [], [], [], 0.0
    for seed in range(n_studies):
        study = trials(FUNCTIONS[function], n_trials=n_trials, noise=noise, sampler=sampler, seed=seed)
        params = pd.DataFrame([trial.params for trial in study.trials])[NAMES]
        start = time.process_time()
        found = importance(params, np.array([trial.value for trial in study.trials]), SPACE)
        taken += time.process_time() - start
        ours.append({name: share.mean for name, share in found.main.items()})
        coverage.append(covered(found))
        stable.append(found.stable)
        forest.append(FanovaImportanceEvaluator(seed=seed).evaluate(study))
        ped.append(found.ped_anova)
    row = {"function": function, "noise": noise, "sampler": sampler, "studies": n_studies, "trials": n_trials}
    for name, shares in (("ablate", ours), ("forest", forest), ("ped_anova", ped)):
        row[f"{name}_order"], row[f"{name}_first"] = judge(shares)
        row[f"{name}_shares"] = [float(np.mean([share[key] for share in shares])) for key in NAMES]
    return row | {
        "coverage": np.mean(coverage, axis=0).tolist(),
        "said_stable": int(np.sum(stable)),
        "seconds": taken / n_studies,
    }


def markdown(rows: list[dict]) -> str:
    lines = [
        "| function | noise sd | sampler | order: ablate / forest / PED | first: ablate / forest / PED |"
        " mean shares, ablate | mean shares, forest | coverage of the four shares | said stable |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        methods = ("ablate", "forest", "ped_anova")
        lines.append(
            f"| {row['function']} | {row['noise']} | {row['sampler']} |"
            f" {' / '.join(str(row[f'{name}_order']) for name in methods)} of {row['studies']} |"
            f" {' / '.join(str(row[f'{name}_first']) for name in methods)} |"
            f" {' '.join(f'{share:.2f}' for share in row['ablate_shares'])} |"
            f" {' '.join(f'{share:.2f}' for share in row['forest_shares'])} |"
            f" {' '.join(f'{share:.2f}' for share in row['coverage'])} | {row['said_stable']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="importance on functions whose shares are known")
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--out", type=Path, help="results as JSON")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for sampler in ("random", "tpe"):
        for noise in (0.0, 0.1):
            for function in FUNCTIONS:
                rows.append(
                    measure(function, noise=noise, sampler=sampler, n_studies=given.studies, n_trials=given.trials)
                )
                print(markdown(rows).splitlines()[-1], flush=True)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
