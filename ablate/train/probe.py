"""Preview linear probing: the head alone is trained, on features of the frozen encoder in eval mode.

Source: Kumar et al. 2022, arXiv 2202.10054 (linear probing, then fine-tuning), as used by arXiv 2509.12991. The
probe has AdamW with its own rate and decay, a cosine without warm-up, the loss of fine-tuning, and neither dropout
nor clipping.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ablate.train.batch import n_pieces, order, pieces
from ablate.train.group import probe_groups, set_rates
from ablate.train.outcome import Stage
from ablate.train.schedule import rate_factor
from ablate.train.trial import Probabilities, Trial, to_probabilities

FeaturesOf = Callable[[Int[np.ndarray, "row"]], Float[Tensor, "row feature"]]


class Probe:
    """The learner of the first stage.

    Args:
        head: trained in place.
        features_of: features of rows of the cohort, kept or through the encoder.
    """

    stage: Stage = "probe"

    def __init__(self, head: nn.Linear, features_of: FeaturesOf, trial: Trial) -> None:
        self.model = head
        self.n_epochs = trial.params.probe_epochs
        self.optimizer = torch.optim.AdamW(probe_groups(head, trial.params), fused=True)
        self._features_of, self._trial = features_of, trial

    def train(self, epoch: int) -> float:
        """One epoch over the subset."""
        trial, n_records = self._trial, len(self._trial.train_rows)
        batch_size = trial.params.batch_size
        n_batches = n_pieces(n_records, batch_size)
        total = torch.zeros((), dtype=torch.float64, device=trial.device)
        at = order(n_records, seed=trial.seed, stage=self.stage, epoch=epoch)
        for i, piece in enumerate(pieces(at, batch_size)):
            trial.check_stop()
            step = (epoch - 1) * n_batches + i
            factor = rate_factor(step, n_steps=self.n_epochs * n_batches, min_ratio=trial.params.min_lr_ratio)
            set_rates(self.optimizer.param_groups, factor)
            total += self._step(piece) * len(piece)
        return total.item() / n_records

    def _step(self, piece: Int[np.ndarray, "piece"]) -> Float[Tensor, ""]:
        trial = self._trial
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(self._features_of(trial.train_rows[piece]))
        loss = trial.loss(logits, torch.from_numpy(piece).to(trial.device))
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def predict(self, rows: Int[np.ndarray, "record"]) -> Probabilities:
        """Probabilities for ``rows`` of the cohort."""
        with torch.no_grad():
            return to_probabilities(self.model(self._features_of(rows)))
