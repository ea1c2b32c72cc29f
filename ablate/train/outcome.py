"""What a trial tells: its progress while it goes on, and its outcome at the end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ablate.train.early_stopping import EarlyStop

Stage = Literal["features", "probe", "finetune", "test"]


class Stopped(Exception):
    """``stop()`` was true. What was finished stands in the checkpoint, from which another call goes on."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished epoch, or a sign of life of a stage that has none.

    Attributes:
        epoch: the last finished one, from 1; for "features" and "test" the share done, in ``n_epochs`` parts.
        train_loss: mean over the epoch's records; None in a sign of life.
        seconds: that the epoch took.
    """

    stage: Stage
    epoch: int
    n_epochs: int
    val_auroc: float | None = None
    val_auprc: float | None = None
    train_loss: float | None = None
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that one trial found.

    Attributes:
        best_epoch: the chosen epoch, from 1, of the last stage that was trained.
        epochs: the curves, probe first.
        scores: val_auroc and val_auprc of the chosen epoch, the same with ``_last`` of the last one, and test_* if the
            test fold was opened.
        class_scores: by split and class, AUROC and AUPRC; NaN for a class without both outcomes.
        seconds: by stage, loading and set-up apart.
        lost_classes: classes without a positive in the subset that was trained on.
        fingerprint: digest of all that decides the scores, hardware and libraries included; equal where nothing that
            matters differs.
        early_stop: where it was ended early, None where it ran to its end.
        notes: what was done otherwise than asked, in sentences.
    """

    best_epoch: int
    epochs: tuple[Progress, ...]
    scores: Mapping[str, float]
    class_scores: Mapping[str, Mapping[str, tuple[float, float]]]
    val_probabilities: Float[np.ndarray, "record class"]
    test_probabilities: Float[np.ndarray, "record class"] | None
    seconds: Mapping[str, float]
    peak_memory_bytes: int
    n_train: int
    lost_classes: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    precision: str = "fp32"
    fingerprint: str = ""
    early_stop: EarlyStop | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Everything but the probabilities, as plain JSON values."""
        told = {name: value for name, value in vars(self).items() if not name.endswith("_probabilities")}
        return told | {
            "epochs": [epoch.document() for epoch in self.epochs],
            "scores": dict(self.scores),
            "class_scores": {split: dict(scores) for split, scores in self.class_scores.items()},
            "seconds": dict(self.seconds),
            "digests": dict(self.digests),
            "lost_classes": list(self.lost_classes),
            "early_stop": None if self.early_stop is None else self.early_stop.document(),
            "notes": list(self.notes),
        }
