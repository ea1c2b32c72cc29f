"""Supervised training from scratch on the real PTB-XL: how near a small network comes to the literature.

    python benchmarks/scratch.py DIR [--task superdiagnostic] [--epochs 10] [--seed 1] [--threads 1] [--set ft_lr=3e-3]
    python benchmarks/scratch.py DIR --encoder xresnet1d101 --window 2.5

Prints macro AUROC and AUPRC on fold 9 after each epoch; fold 10 is not read. The records are prepared once under
ABLATE_HOME.
"""

import argparse
import json
from pathlib import Path

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.split import load_task
from ablate.model.catalogue import EncoderSpec
from ablate.outcome import Progress
from ablate.train.params import Params
from ablate.train.routine import Machine, post_train

PARAMS = {
    "init": "random",
    "ft_epochs": 10,
    "ft_lr": 3e-3,
    "batch_size": 64,
    "warmup_fraction": 0.3,
    "min_lr_ratio": 0.0,
    "weight_decay": 0.05,
    "drop_path_rate": 0.1,
    "dropout": 0.05,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="superdiagnostic")
    parser.add_argument("--encoder", default="net1d_small")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--window", type=float, help="seconds; the mean over windows is evaluated")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def show(progress: Progress) -> None:
    """One line for each epoch; signs of life within it are not shown."""
    if progress.train_loss is not None:
        print(
            f"epoch {progress.epoch}: loss {progress.train_loss:.4f}, AUROC {progress.val_auroc:.4f}, "
            f"AUPRC {progress.val_auprc:.4f}, {progress.seconds:.1f} s",
            flush=True,
        )


def main() -> None:
    asked = parse()
    changes = {name: json.loads(value) for name, _, value in (change.partition("=") for change in asked.set)}
    params = Params.from_dict({**PARAMS, "ft_epochs": asked.epochs, **changes})
    cohort = open_cohort(prepare(PtbXl(asked.folder), n_processes=asked.threads))
    data = load_task(cohort, asked.task, window_s=asked.window)
    print(f"{asked.encoder} on {asked.task}, {len(data.train_rows)} records, seed {asked.seed}: {params}", flush=True)
    outcome = post_train(
        EncoderSpec(asked.encoder, "random"),
        data,
        params,
        seed=asked.seed,
        machine=Machine(device=asked.device, precision=asked.precision, n_threads=asked.threads),
        report=show,
    )
    print(json.dumps({**outcome.scores, "best_epoch": outcome.best_epoch, "seconds": dict(outcome.seconds)}))


if __name__ == "__main__":
    main()
