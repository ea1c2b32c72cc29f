"""What a trial tells: its progress while it goes on, and its outcome at the end, on its way from training to the store.

Imports no torch, so every floor may use it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Stage = Literal["features", "probe", "finetune", "train", "test"]
OWN_STAGE: Stage = "train"  # that of a routine of the user's own
Probabilities = Float[np.ndarray, "record class"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One finished epoch, or a sign of life of a stage that has none.

    Attributes:
        stage: "train" is that of a routine of the user's own, which may have no epochs.
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
class EarlyStop:
    """Where a trial was ended early, and why.

    Attributes:
        epoch: of fine-tuning, the last that was trained.
        n_epochs: that it would have had.
        score: name of the compared validation score.
        value: of that epoch.
        threshold: that it was below.
    """

    epoch: int
    n_epochs: int
    score: str
    value: float
    threshold: float

    @property
    def reason(self) -> str:
        """The same in words."""
        return (
            f"stopped early after epoch {self.epoch} of {self.n_epochs}: {self.score} {self.value:.4f}, "
            f"below the {self.threshold:.4f} that earlier trials set"
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that one trial found; the one form in which a result travels.

    Attributes:
        best_epoch: the chosen epoch, from 1, of the last stage that was trained.
        epochs: the curves, probe first.
        scores: val_auroc and val_auprc of the chosen epoch, the same with ``_last`` of the last one, and test_* if the
            test fold was opened.
        class_scores: by split and class, AUROC and AUPRC; NaN for a class without both outcomes.
        seconds: by stage, loading and set-up apart.
        n_train: records that were trained on.
        n_val: records that chose the epoch; 0 where an earlier version did not count them.
        n_skipped: damaged records of the cohort that were left out.
        lost_classes: classes without a positive in the subset that was trained on.
        fingerprint: digest of all that decides the scores, hardware and libraries included; equal where nothing that
            matters differs.
        early_stop: where it was ended early, None where it ran to its end.
        weights: of the chosen epoch's network, as the bytes of a safetensors file; None where they are not kept.
        thresholds: of weights that are kept, by class: the probability from which on a record counts as positive,
            chosen on the validation records; None for a class that lacks an outcome there.
        micro_batch: most records that were in memory at once; None had no limit.
        idle_s: time for which the trainer had nothing to do before this trial.
        notes: what was done otherwise than asked, in sentences.
    """

    best_epoch: int
    epochs: tuple[Progress, ...]
    scores: Mapping[str, float]
    class_scores: Mapping[str, Mapping[str, tuple[float, float]]]
    val_probabilities: Probabilities = field(repr=False, compare=False)
    test_probabilities: Probabilities | None = field(default=None, repr=False, compare=False)
    external_probabilities: Probabilities | None = field(default=None, repr=False, compare=False)
    weights: bytes | None = field(default=None, repr=False, compare=False)
    thresholds: Mapping[str, float | None] = field(default_factory=dict)
    seconds: Mapping[str, float]
    peak_memory_bytes: int
    n_train: int
    n_val: int = 0
    n_skipped: int = 0
    lost_classes: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    precision: str = "fp32"
    fingerprint: str = ""
    early_stop: EarlyStop | None = None
    micro_batch: int | None = None
    idle_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def probabilities(self) -> dict[str, Probabilities]:
        """By split, as far as it was scored."""
        splits = {
            "val": self.val_probabilities, "test": self.test_probabilities, "external": self.external_probabilities
        }  # fmt: skip
        return {split: array for split, array in splits.items() if array is not None}

    def document(self) -> dict[str, Any]:
        """Everything but probabilities and weights, as plain JSON values; without thresholds where there are none."""
        plain = {
            name: value
            for name, value in vars(self).items()
            if not name.endswith("_probabilities") and name not in ("weights", "thresholds")
        }
        kept = {"thresholds": dict(self.thresholds)} if self.thresholds else {}
        return (
            plain
            | kept
            | {
                "epochs": [epoch.document() for epoch in self.epochs],
                "scores": dict(self.scores),
                "class_scores": {split: dict(scores) for split, scores in self.class_scores.items()},
                "seconds": dict(self.seconds),
                "digests": dict(self.digests),
                "lost_classes": list(self.lost_classes),
                "early_stop": None if self.early_stop is None else asdict(self.early_stop),
                "notes": list(self.notes),
            }
        )

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], probabilities: Mapping[str, Probabilities], weights: bytes | None = None
    ) -> "Outcome":
        """The outcome that ``document``, ``probabilities``, by split, and ``weights`` were taken from."""
        early_stop = document["early_stop"]
        class_scores = {
            split: {name: (auroc, auprc) for name, (auroc, auprc) in scores.items()}
            for split, scores in document["class_scores"].items()
        }
        typed = {
            "epochs": tuple(Progress(**epoch) for epoch in document["epochs"]),
            "class_scores": class_scores,
            "lost_classes": tuple(document["lost_classes"]),
            "early_stop": None if early_stop is None else EarlyStop(**early_stop),
            "notes": tuple(document["notes"]),
        }
        arrays = {"val_probabilities": probabilities["val"], "test_probabilities": probabilities.get("test"),
                  "external_probabilities": probabilities.get("external")}  # fmt: skip
        return cls(**{**document, **typed, **arrays}, weights=weights)
