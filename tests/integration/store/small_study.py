"""Plans and results of small studies."""

from collections.abc import Sequence
from typing import Any

from ablate.store.slot import PlannedSlot

NAN = float("nan")
SPACE = {
    "ft_lr": {"low": 1e-5, "high": 3e-3, "log": True},
    "probe_epochs": {"low": 0, "high": 50, "int": True},
    "drop_path_schedule": {"choices": ["linear", "constant"]},
}


def search_slots(n: int, *, arm: str = "ft", generation_size: int = 1000) -> Sequence[PlannedSlot]:
    return [
        PlannedSlot(
            key=f"search/{arm}/{i}",
            phase="search",
            arm=arm,
            context={"data_fraction": 0.1},
            index=i,
            seed=2**62 + i,
            chain=arm,
            generation=i // generation_size,
            priority=i,
        )
        for i in range(n)
    ]


def confirm_slots(n: int, *, arm: str = "ft") -> Sequence[PlannedSlot]:
    return [
        PlannedSlot(
            key=f"confirm/{arm}/{i}",
            phase="confirm",
            arm=arm,
            context={"data_fraction": 0.1},
            index=i,
            seed=i,
            priority=1000 + i,
        )
        for i in range(n)
    ]


def stopped_result(auroc: float = 0.5) -> dict[str, Any]:
    """Of a trial that was stopped after the first of five epochs."""
    early_stop = {"epoch": 1, "n_epochs": 5, "score": "val_auroc", "value": auroc, "threshold": 0.6}
    return result(auroc) | {"early_stop": early_stop}


def result(auroc: float = 0.8) -> dict[str, Any]:
    probe = {
        "stage": "probe",
        "epoch": 1,
        "val_auroc": auroc - 0.2,
        "val_auprc": 0.1,
        "train_loss": 0.5,
        "seconds": 0.1,
    }
    tuned = {"stage": "finetune", "epoch": 1, "val_auroc": auroc, "val_auprc": 0.2, "train_loss": NAN, "seconds": 1.5}
    return {
        "scores": {"val_auroc": auroc, "val_auprc": auroc / 2},
        "best_epoch": 1,
        "epochs": [probe, tuned],
        "class_scores": {"val": {"NORM": (0.9, 0.8), "RARE": (NAN, NAN)}},
        "seconds": {"probe": 0.1, "finetune": 1.5},
        "peak_memory_bytes": 10**9,
        "lost_classes": [],
        "n_train": 100,
        "digests": {"data": "d", "encoder": "e", "code": "c", "environment": "v"},
        "device": "cpu",
        "precision": "fp32",
    }
