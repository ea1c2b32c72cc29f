"""Fine-tuning: the whole network is trained, with drop path and a fresh AdamW of its own.

A batch larger than ``micro_batch`` is computed in pieces whose gradients add up to the batch's, equal within rounding.
Drop path in mode "sample" drops the same records either way; modes "batch" and "fixed", and dropout, draw for each
piece.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from ablate import seeds
from ablate.model.drop_path import set_drop_path
from ablate.model.encoder import Classifier, Encoder
from ablate.outcome import Probabilities, Stage
from ablate.train.batch import n_pieces, on_device, order, pieces
from ablate.train.param_group import finetune_groups, set_rates
from ablate.train.schedule import rate_factor
from ablate.train.trial import Trial, to_probabilities

EVAL_BATCH = {"cpu": 64, "cuda": 256}


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
        for layer in self._drop_paths:
            layer.generator = torch.Generator()  # each its own, so pieces of a batch draw what the batch would

    def train(self, epoch: int) -> float:
        """One epoch over the subset."""
        trial, n_records = self._trial, len(self._trial.train_rows)
        params = trial.params
        n_batches = n_pieces(n_records, params.batch_size)
        total = torch.zeros((), dtype=torch.float64, device=trial.device)
        self._seed(epoch)
        self.model.train()
        at = order(n_records, seed=trial.seed, stage=self.stage, epoch=epoch)
        for i, batch in enumerate(pieces(at, params.batch_size)):
            trial.check_stop()
            factor = rate_factor(
                (epoch - 1) * n_batches + i,
                n_steps=self.n_epochs * n_batches,
                warmup_fraction=params.warmup_fraction,
                min_ratio=params.min_lr_ratio,
            )
            set_rates(self._optimizer.param_groups, factor)
            total += self._step(batch) * len(batch)
        return total.item() / n_records

    def predict(self, rows: Int[np.ndarray, "record"]) -> Probabilities:
        """Probabilities for ``rows`` of the cohort."""
        self.model.eval()
        logits = []
        with torch.inference_mode():
            for piece in pieces(rows, self._size(EVAL_BATCH[self._trial.device.type])):
                self._trial.check_stop()
                logits.append(self._logits(piece))
        return to_probabilities(torch.cat(logits))

    def state(self) -> dict[str, Tensor]:
        """Of the optimizer: its moments and steps, by position of the parameter."""
        states = self._optimizer.state_dict()["state"]
        return {f"{i}.{name}": tensor.cpu() for i, state in states.items() for name, tensor in state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on with the network as it is and the optimizer from ``state``."""
        whole = self._optimizer.state_dict()
        whole["state"] = {}
        for key, tensor in state.items():
            position, _, name = key.partition(".")
            whole["state"].setdefault(int(position), {})[name] = tensor
        self._optimizer.load_state_dict(whole)

    def _step(self, batch: Int[np.ndarray, "record"]) -> Float[Tensor, ""]:
        trial = self._trial
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=trial.device)
        for piece in pieces(batch, self._size(len(batch))):
            logits = self._logits(trial.train_rows[piece])
            targets = trial.targets[on_device(piece, trial.device)]
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets) * (len(piece) / len(batch))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if trial.params.grad_clip:
            torch.nn.utils.clip_grad_norm_(self._parameters, trial.params.grad_clip)
        self._optimizer.step()
        return total

    def _logits(self, rows: Int[np.ndarray, "piece"]) -> Float[Tensor, "piece class"]:
        trial = self._trial
        is_bf16 = trial.machine.precision == "bf16"
        with torch.autocast(trial.device.type, dtype=torch.bfloat16, enabled=is_bf16):
            logits: Tensor = self.model(trial.signals.batch(rows))
        return logits

    def _size(self, wanted: int) -> int:
        return min(wanted, self._trial.machine.micro_batch or wanted)

    def _seed(self, epoch: int) -> None:
        """Start every stream anew, so that an epoch's noise depends on nothing but its seed and number."""
        seed = self._trial.seed
        torch.manual_seed(seeds.derive(seed, "dropout", epoch))
        for i, layer in enumerate(self._drop_paths):
            assert layer.generator is not None
            layer.generator.manual_seed(seeds.derive(seed, "drop_path", i, epoch))
