"""Metrics beside the scikit-learn loop that everyone writes; processor seconds, best of several.

    python benchmarks/metrics.py [--out results.json]

71 classes and 2,200 records; then the confirming statistics of a whole study, four arms of ten blocks.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ablate.stats.declaration import Declaration, default_families
from ablate.stats.evaluation import evaluate
from ablate.stats.judge import judge
from ablate.stats.metrics import macro_auprc, macro_auroc

N_RECORDS, N_CLASSES = 2200, 71


def seconds(action: Callable[[], object], *, repeats: int) -> float:
    """Least processor time of one call: what other programs do on the machine counts little."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        taken.append(time.process_time() - start)
    return min(taken)


def predictions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n_positive = np.geomspace(2, 1000, N_CLASSES).astype(int)
    labels = rng.random((N_RECORDS, N_CLASSES)).argsort(axis=0) < n_positive
    return labels, (rng.normal(size=labels.shape) + 2 * labels).astype(np.float32)


def loop(labels: np.ndarray, scores: np.ndarray, metric: Callable, weights: np.ndarray | None = None) -> float:
    return float(np.mean([metric(labels[:, k], scores[:, k], sample_weight=weights) for k in range(labels.shape[1])]))


def compare_metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    found = {}
    for name, ours, theirs in (
        ("auroc", macro_auroc, roc_auc_score),
        ("auprc", macro_auprc, average_precision_score),
    ):
        found[f"{name}_s"] = seconds(lambda ours=ours: ours(labels, scores), repeats=15)
        found[f"{name}_loop_s"] = seconds(lambda theirs=theirs: loop(labels, scores, theirs), repeats=5)
        found[f"{name}_ratio"] = found[f"{name}_loop_s"] / found[f"{name}_s"]
    return found


def confirm(labels: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    shared = rng.normal(size=labels.shape)
    arms = {
        arm: {b: shared + 0.3 * rng.normal(size=labels.shape) + (2 + shift) * labels for b in range(10)}
        for arm, shift in {"ft": 0.0, "sd": 0.05, "lp": 0.1, "lp_sd": 0.2}.items()
    }
    weights = {f"{arm} - ft": {arm: 1.0, "ft": -1.0} for arm in ("sd", "lp", "lp_sd")}
    declared = Declaration(
        contexts=("{}",),
        weights=weights,
        families=default_families(weights, "ft"),
        looks=(10,),
        margins={"auroc": 0.005},
    )
    patients = rng.integers(0, 1900, N_RECORDS)
    found = seconds(lambda: judge(declared, {"{}": evaluate(arms, labels, patients)}), repeats=1)
    return {"confirming_statistics_s": found}


def main() -> None:
    parser = argparse.ArgumentParser(description="metrics beside the scikit-learn loop")
    parser.add_argument("--out", type=Path, help="results as JSON")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    labels, scores = predictions(rng)
    found = compare_metrics(labels, scores) | confirm(labels, rng)
    for name in ("auroc", "auprc"):
        print(f"macro {name}: {1e3 * found[f'{name}_s']:.1f} ms, loop {1e3 * found[f'{name}_loop_s']:.1f} ms,", end=" ")
        print(f"ratio {found[f'{name}_ratio']:.1f}")
    print(f"confirming statistics, 4 arms x 10 blocks: {found['confirming_statistics_s']:.1f} s of processor")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
