"""Early stopping of search trials: what each must reach at its rungs, fixed before it starts.

The thresholds of a trial follow from the earlier generations of its own arm and context, so they are the same with one
worker and with forty, and no score depends on what else is being trained. Confirming trials have none.

Source: successive halving (Jamieson and Talwalkar 2016; Li et al. 2020 for its asynchronous form). Our deviation is
that the thresholds are fixed beforehand.

This module imports no torch, so the study's floor may use it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ablate.outcome import EarlyStop, Progress

Curve = Mapping[int, float]  # a validation score by epoch of fine-tuning


class EarlyStopping(BaseModel):
    """Successive halving over the trials of one arm and context.

    Attributes:
        eta: of the trials that came as far as a rung, the best one in so many goes on.
        first_rung: epoch of fine-tuning; the next rungs are ``eta`` times, ``eta`` squared times as far. The first
            epoch says least, and still misses least at equal seconds in every arm: ``benchmarks/samplers.md``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    eta: int = Field(default=3, ge=2, le=10)
    first_rung: int = Field(default=1, ge=1)

    def rungs(self, n_epochs: int) -> tuple[int, ...]:
        """Epochs of fine-tuning at which a trial of ``n_epochs`` is compared; its last is none of them."""
        epochs, rung = [], self.first_rung
        while rung < n_epochs:
            epochs.append(rung)
            rung *= self.eta
        return tuple(epochs)


def at_updates(curve: Curve, *, batch_size: int, own: int) -> dict[int, float]:
    """A curve by the epochs of a trial with another batch size: at each the score after as many updates, or just more.

    Args:
        curve: of a trial on the same records.
        batch_size: of that trial.
        own: batch size of the trial that is compared with it.
    """
    last = max(curve, default=0)
    places = {epoch: math.ceil(epoch * batch_size / own) for epoch in range(1, math.floor(last * own / batch_size) + 1)}
    return {epoch: curve[place] for epoch, place in places.items() if place in curve}


def given(value: object) -> object:
    """What a study file may write: a table, ``true`` for the usual one, or ``false`` for none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


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

    def let_pass(self, curve: Curve) -> bool:
        """Whether a finished trial would have been trained to its end."""
        return not any(curve.get(epoch, math.nan) < threshold for epoch, threshold in self.thresholds.items())


NO_RUNGS = Rungs(score="val_auroc")


def thresholds(early: EarlyStopping, curves: Iterable[Curve], *, select: str, n_epochs: int) -> Rungs | None:
    """What a trial must score at each rung: the quantile that the best one in ``eta`` of the earlier trials were above.

    Trials that were stopped count at the rungs that they reached, as successive halving wants. A rung that fewer than
    ``eta`` earlier trials reached decides nothing.

    Args:
        early: as the study declares it.
        curves: of finished trials of earlier generations of the same arm and context.
        select: the validation score that the search maximises.
        n_epochs: of fine-tuning.

    Returns:
        None where no rung decides anything.
    """
    seen = list(curves)
    by_epoch = {}
    for rung in early.rungs(n_epochs):
        reached = [curve[rung] for curve in seen if math.isfinite(curve.get(rung, math.nan))]
        if len(reached) >= early.eta:
            by_epoch[rung] = float(np.quantile(reached, 1 - 1 / early.eta))
    return Rungs(score=select, thresholds=by_epoch) if by_epoch else None
