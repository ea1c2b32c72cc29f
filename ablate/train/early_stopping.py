"""Rungs: epochs of fine-tuning at which a trial ends early when earlier trials scored clearly better there.

Source: successive halving (Jamieson and Talwalkar 2016; Li et al. 2020 for its asynchronous form). Our deviation: the
thresholds are fixed before the trial starts, so no score depends on what else is being trained at the same time.

This module imports no torch, so the study's floor may use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.outcome import EarlyStop, Progress


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """What a trial must reach to go on.

    Attributes:
        score: "val_auroc" or "val_auprc".
        thresholds: by epoch of fine-tuning; an epoch that is not there decides nothing.
    """

    score: str
    thresholds: Mapping[int, float] = field(default_factory=dict)

    def early_stop(self, epochs: Sequence[Progress]) -> EarlyStop | None:
        """The first epoch of fine-tuning, its last apart, whose score lies below the threshold; None where all hold."""
        for done in epochs:
            threshold = self.thresholds.get(done.epoch)
            if done.stage != "finetune" or threshold is None or done.epoch >= done.n_epochs:
                continue
            value = getattr(done, self.score)
            if value < threshold:
                return EarlyStop(
                    epoch=done.epoch, n_epochs=done.n_epochs, score=self.score, value=value, threshold=threshold
                )
        return None

    def document(self) -> dict[str, Any]:
        """As plain JSON values, which have no whole numbers as keys."""
        return {"score": self.score, "thresholds": [[epoch, value] for epoch, value in self.thresholds.items()]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Rungs":
        """The rungs that ``document`` was made of."""
        return cls(score=document["score"], thresholds={int(epoch): value for epoch, value in document["thresholds"]})


NO_RUNGS = Rungs(score="val_auroc")
