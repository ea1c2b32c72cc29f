"""Preview linear probing: the head alone is trained, on features of the frozen encoder in eval mode.

Source: Kumar et al. 2022, arXiv 2202.10054 (linear probing, then fine-tuning), as used by arXiv 2509.12991. The
probe has AdamW with its own rate and decay, a cosine without warm-up, the loss of fine-tuning, and neither dropout
nor clipping. Fine-tuning starts from the head of its last epoch.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ablate.outcome import Probabilities, Stage
from ablate.train.epoch_plan import Piece, plan_epoch
from ablate.train.feature_bank import FeatureBank
from ablate.train.logistic import Logistic
from ablate.train.trial import Trial, to_probabilities


class Probe:
    """The learner of the first stage.

    Args:
        head: trained in place.
        features: of rows of the cohort, kept or through the encoder.
    """

    stage: Stage = "probe"

    def __init__(self, head: nn.Linear, features: FeatureBank, trial: Trial) -> None:
        self.model = head
        self.n_epochs = trial.params.probe_epochs
        self._logistic = Logistic(head, weight_decay=trial.params.probe_weight_decay)
        self._features, self._trial = features, trial
        self._kept = features.kept(trial.train_rows)
        self._targets = trial.targets

    def train(self, epoch: int) -> float:
        """One epoch over the subset."""
        trial, params = self._trial, self._trial.params
        batches = plan_epoch(
            trial.train_rows,
            device=trial.device,
            seed=trial.seed,
            stage=self.stage,
            epoch=epoch,
            n_epochs=self.n_epochs,
            batch_size=params.batch_size,
            min_ratio=params.min_lr_ratio,
        )
        total = torch.zeros((), dtype=torch.float64, device=trial.device)
        for batch in batches:
            trial.check_stop()
            (piece,) = batch.pieces
            targets = self._targets[piece.positions.device]
            loss = self._logistic.step(self._features_of(piece), targets, rate=params.probe_lr * batch.rate_factor)
            total += loss * batch.n_records
        self._logistic.write()
        return total.item() / len(trial.train_rows)

    def predict(self, rows: Int[np.ndarray, "record"]) -> Probabilities:
        """Probabilities for ``rows`` of the cohort."""
        with torch.no_grad():
            return to_probabilities(self.model(self._features(rows)))

    def state(self) -> dict[str, Tensor]:
        """A copy of the optimizer's."""
        return self._logistic.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on with the head as it is and the optimizer from ``state``."""
        self._logistic.restore(state)

    def _features_of(self, piece: Piece) -> Float[Tensor, "piece feature"]:
        if self._kept is not None:
            return self._kept[piece.positions.device]
        return self._features(piece.rows.host)
