"""Metrics and bootstrap beside the scikit-learn loop that everyone writes; processor seconds, best of several.

    python benchmarks/metrics.py [--out results.json]

71 classes and 2,200 records; then the confirming statistics of a whole study, four arms of ten blocks with 2,000 draws.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ablate.stats.contrast import ContrastSpec, contrasts
from ablate.stats.metrics import macro_auprc, macro_auroc
from ablate.stats.weighted_score import rank

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


def compare_bootstrap(labels: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Both metrics of one draw of record weights; ours with the sorting shared by 2,000 draws, as in use."""
    weights = rng.exponential(size=(2000, N_RECORDS))
    ours = seconds(lambda: rank(labels, scores).macro(weights), repeats=3) / len(weights)

    def theirs() -> None:
        loop(labels, scores, roc_auc_score, weights[0])
        loop(labels, scores, average_precision_score, weights[0])

    draw = seconds(theirs, repeats=5)
    return {"bootstrap_draw_s": ours, "bootstrap_draw_loop_s": draw, "bootstrap_ratio": draw / ours}


def confirm(labels: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    shared = rng.normal(size=labels.shape)
    arms = {
        arm: np.stack([shared + 0.3 * rng.normal(size=labels.shape) + (2 + shift) * labels for _ in range(10)])
        for arm, shift in {"baseline": 0.0, "sd": 0.05, "lp": 0.1, "lp_sd": 0.2}.items()
    }
    declared = [ContrastSpec.between(arm, arm=arm, baseline="baseline") for arm in ("sd", "lp", "lp_sd")]
    declared.append(ContrastSpec.interaction("lp x sd", both="lp_sd", first="lp", second="sd", neither="baseline"))
    patients = rng.integers(0, 1900, N_RECORDS)
    found = seconds(lambda: contrasts(arms, labels, patients, declared, margins={"auroc": 0.005}), repeats=1)
    return {"confirming_statistics_s": found}


def main() -> None:
    parser = argparse.ArgumentParser(description="metrics and bootstrap beside the scikit-learn loop")
    parser.add_argument("--out", type=Path, help="results as JSON")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    labels, scores = predictions(rng)
    found = compare_metrics(labels, scores) | compare_bootstrap(labels, scores, rng) | confirm(labels, rng)
    for name in ("auroc", "auprc"):
        print(f"macro {name}: {1e3 * found[f'{name}_s']:.1f} ms, loop {1e3 * found[f'{name}_loop_s']:.1f} ms,", end=" ")
        print(f"ratio {found[f'{name}_ratio']:.1f}")
    print(f"bootstrap draw, both: {1e3 * found['bootstrap_draw_s']:.3f} ms,", end=" ")
    print(f"loop {1e3 * found['bootstrap_draw_loop_s']:.1f} ms, ratio {found['bootstrap_ratio']:.0f}")
    print(
        f"confirming statistics, 4 arms x 10 blocks, 2,000 draws: {found['confirming_statistics_s']:.1f} s of processor"
    )
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
