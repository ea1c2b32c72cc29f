"""Fine-tuning: the whole network is trained, with drop path and a fresh AdamW of its own.

A batch larger than ``micro_batch`` is computed in pieces whose gradients add up to the batch's, equal within rounding.
Drop path in mode "sample" drops the same records either way; modes "batch" and "fixed", and dropout, draw for each
piece.

No step touches the host: the epoch is planned before it begins, and its loss is fetched when it is over. Dropout alone
is drawn on the device, so a GPU leaves out other features than a CPU.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from ablate import seeds
from ablate.model.drop_path import set_drop_path
from ablate.model.encoder import Classifier, Encoder
from ablate.model.window import cut
from ablate.outcome import Probabilities, Stage
from ablate.train.epoch_plan import Batch, Piece, plan_drop_path, plan_epoch
from ablate.train.param_group import finetune_groups, set_rates
from ablate.train.signals import Rows
from ablate.train.trial import Trial, to_probabilities

EVAL_BATCH = {"cpu": 64, "cuda": 256}
EVAL_OVER_TRAINED = 4


class FineTune:
    """The learner of the second stage.

    Args:
        encoder: of ``model``.
        model: trained in place.
    """

    stage: Stage = "finetune"

    def __init__(self, encoder: Encoder, model: Classifier, trial: Trial) -> None:
        params = trial.params
        self.model = model
        self.n_epochs = params.ft_epochs
        groups = finetune_groups(model, encoder.stages(), model.head, params)
        self._optimizer = torch.optim.AdamW(groups, fused=True)
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        self._drop_paths = encoder.drop_path_layers()
        self._trial = trial
        set_drop_path(
            encoder,
            rate=params.drop_path_rate,
            schedule=params.drop_path_schedule,
            mode=params.drop_path_mode,
            generator=torch.Generator(),
        )

    def train(self, epoch: int) -> float:
        """One epoch over the subset."""
        trial = self._trial
        batches = self._planned(epoch)
        torch.manual_seed(seeds.derive(trial.seed, "dropout", epoch))
        self.model.train()
        total = torch.zeros((), dtype=torch.float64, device=trial.device)
        for batch in batches:
            trial.check_stop()
            set_rates(self._optimizer.param_groups, batch.rate_factor)
            total += self._step(batch) * batch.n_records
        return total.item() / len(trial.train_rows)

    def predict(self, rows: Int[np.ndarray, "record"]) -> Probabilities:
        """Probabilities for ``rows`` of the cohort."""
        self.model.eval()
        logits = []
        with torch.inference_mode():
            for piece in self._trial.signals.rows(rows).pieces(self._eval_size()):
                self._trial.check_stop()
                logits.append(self._logits(piece))
        return to_probabilities(torch.cat(logits))

    def state(self) -> dict[str, Tensor]:
        """A copy of the optimizer's: its moments and steps, by position of the parameter."""
        states = self._optimizer.state_dict()["state"]
        return {f"{i}.{name}": tensor.clone() for i, state in states.items() for name, tensor in state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on with the network as it is and the optimizer from ``state``."""
        whole = self._optimizer.state_dict()
        whole["state"] = {}
        for key, tensor in state.items():
            position, _, name = key.partition(".")
            whole["state"].setdefault(int(position), {})[name] = tensor
        self._optimizer.load_state_dict(whole)

    def _planned(self, epoch: int) -> list[Batch]:
        """All that is drawn for ``epoch``: it depends on nothing but the trial's seed and the epoch's number."""
        trial, params = self._trial, self._trial.params
        batches = plan_epoch(
            trial.train_rows,
            device=trial.device,
            seed=trial.seed,
            stage=self.stage,
            epoch=epoch,
            n_epochs=self.n_epochs,
            batch_size=params.batch_size,
            micro_batch=trial.machine.micro_batch,
            warmup_fraction=params.warmup_fraction,
            min_ratio=params.min_lr_ratio,
        )
        plan_drop_path(self._drop_paths, batches, device=trial.device, seed=trial.seed, epoch=epoch)
        return batches

    def _step(self, batch: Batch) -> Float[Tensor, ""]:
        """One update; the mean loss of the batch before it."""
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._trial.device)
        for piece in batch.pieces:
            loss = self._loss(piece) * (len(piece) / batch.n_records)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if self._trial.params.grad_clip:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._trial.params.grad_clip)
        self._optimizer.step()
        return total

    def _loss(self, piece: Piece) -> Float[Tensor, ""]:
        for layer in self._drop_paths:
            layer.begin_pass()
        targets = self._trial.targets[piece.positions.device]
        return F.binary_cross_entropy_with_logits(self._logits(piece.rows, piece.places), targets)

    def _logits(self, rows: Rows, places: Float[Tensor, " piece"] | None = None) -> Float[Tensor, "piece class"]:
        """Of whole records; with ``places`` of one window of each, where the encoder takes windows."""
        trial = self._trial
        x = trial.signals.batch(rows)
        if places is not None and trial.data.n_window:
            x = cut(x, places, trial.data.n_window)
        is_bf16 = trial.machine.precision == "bf16"
        with torch.autocast(trial.device.type, dtype=torch.bfloat16, enabled=is_bf16):
            logits: Tensor = self.model(x)
        return logits

    def _eval_size(self) -> int:
        """Records that are scored at once; a scored record has the same bits only in batches of the same size.

        On a GPU, what fits where training fits: that keeps every layer's activations, scoring two or three of them at
        a time, so it may have a few times the records.
        """
        machine = self._trial.machine
        if self._trial.device.type == "cpu":
            return min(EVAL_BATCH["cpu"], machine.micro_batch or EVAL_BATCH["cpu"])
        n_trained = min(machine.micro_batch or self._trial.params.batch_size, self._trial.params.batch_size)
        return min(EVAL_BATCH["cuda"], EVAL_OVER_TRAINED * n_trained)
