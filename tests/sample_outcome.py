"""Outcomes of trials that nobody trained."""

from typing import Any

import numpy as np

from ablate.outcome import EarlyStop, Outcome, Progress

NAN = float("nan")


def result(auroc: float = 0.8, **changes: Any) -> Outcome:
    """One epoch of the probe and one of fine-tuning; ``changes`` replace attributes."""
    probe = Progress(
        stage="probe", epoch=1, n_epochs=1, val_auroc=auroc - 0.2, val_auprc=0.1, train_loss=0.5, seconds=0.1
    )
    tuned = Progress(stage="finetune", epoch=1, n_epochs=1, val_auroc=auroc, val_auprc=0.2, train_loss=NAN, seconds=1.5)
    attributes: dict[str, Any] = {
        "scores": {"val_auroc": auroc, "val_auprc": auroc / 2},
        "best_epoch": 1,
        "epochs": (probe, tuned),
        "class_scores": {"val": {"NORM": (0.9, 0.8), "RARE": (NAN, NAN)}},
        "val_probabilities": np.full((2, 2), auroc, dtype=np.float32),
        "seconds": {"probe": 0.1, "finetune": 1.5},
        "peak_memory_bytes": 10**9,
        "n_train": 100,
        "digests": {"data": "d", "encoder": "e", "code": "c", "environment": "v"},
    }
    return Outcome(**{**attributes, **changes})


def stopped_result(auroc: float = 0.5, **changes: Any) -> Outcome:
    """Of a trial that was stopped after the first of five epochs."""
    early_stop = EarlyStop(epoch=1, n_epochs=5, score="val_auroc", value=auroc, threshold=0.6)
    return result(auroc, early_stop=early_stop, **changes)


def progress(epoch: int = 1, **changes: Any) -> Progress:
    """A sign of life in an epoch of fine-tuning."""
    return Progress(**{"stage": "finetune", "epoch": epoch, "n_epochs": 4, **changes})
