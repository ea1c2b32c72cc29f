"""Early stopping of search trials: what each must reach, fixed before it starts.

The thresholds of a trial follow from the earlier generations of its own arm and context, so they are the same with one
worker and with forty. Confirming trials have none.
"""

import math
from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ablate.store.slot import Past
from ablate.train.early_stopping import Rungs


class EarlyStopping(BaseModel):
    """Successive halving over the trials of one arm and context.

    Attributes:
        eta: of the trials that came as far as a rung, the best one in so many goes on.
        first_rung: epoch of fine-tuning; the next rungs are ``eta`` times, ``eta`` squared times as far. Not the first
            epoch by default: after preview probing it says little (48 trials of ``sd_vs_lp``: its rank correlation
            with the last score is 0.42 and 0.59 in the arms with probing, 0.98 and 0.99 in the third epoch).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    eta: int = Field(default=3, ge=2, le=10)
    first_rung: int = Field(default=3, ge=1)

    def rungs(self, n_epochs: int) -> tuple[int, ...]:
        """Epochs of fine-tuning at which a trial of ``n_epochs`` is compared; its last is none of them."""
        epochs, rung = [], self.first_rung
        while rung < n_epochs:
            epochs.append(rung)
            rung *= self.eta
        return tuple(epochs)


def given(value: object) -> object:
    """What a study file may write: a table, ``true`` for the usual one, or ``false`` for none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


def thresholds(early: EarlyStopping, history: Iterable[Past], *, select: str, n_epochs: int) -> Rungs | None:
    """What a trial must score at each rung: the quantile that the best one in ``eta`` of the earlier trials were above.

    Trials that were stopped count at the rungs that they reached, as successive halving wants. A rung that fewer than
    ``eta`` earlier trials reached decides nothing.

    Args:
        early: as the study declares it.
        history: finished trials of earlier generations of the same arm and context.
        select: the validation score that the search maximises.
        n_epochs: of fine-tuning.

    Returns:
        None where no rung decides anything.
    """
    curves = [past.curve(select) for past in history]
    found = {}
    for rung in early.rungs(n_epochs):
        known = [curve[rung] for curve in curves if math.isfinite(curve.get(rung, math.nan))]
        if len(known) >= early.eta:
            found[rung] = float(np.quantile(known, 1 - 1 / early.eta))
    return Rungs(score=select, thresholds=found) if found else None


def reaches(rungs: Rungs, past: Past) -> bool:
    """Whether a finished trial would have been trained to its end."""
    curve = past.curve(rungs.score)
    return not any(curve.get(epoch, math.nan) < threshold for epoch, threshold in rungs.thresholds.items())
