"""A stage: epochs of one learner, each followed by validation, a checkpoint and a report."""

import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from ablate.outcome import Probabilities, Progress, Stage
from ablate.train.checkpoint import Checkpoint, Saved
from ablate.train.params import EpochChoice
from ablate.train.trial import Trial


class Learner(Protocol):
    """What a stage trains."""

    stage: Stage
    n_epochs: int

    @property
    def model(self) -> nn.Module:
        """What is validated, saved and restored."""
        ...

    def train(self, epoch: int) -> float:
        """One epoch, from 1; returns the mean training loss."""
        ...

    def predict(self, rows: Int[np.ndarray, "record"]) -> Probabilities:
        """Probabilities for ``rows`` of the cohort."""
        ...

    def state(self) -> dict[str, Tensor]:
        """A copy of the optimizer's, on the device; the network's own is in ``model``."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on with ``model`` as it is and the optimizer from ``state``."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """The network after one epoch, on its own device, and what it says of the validation records."""

    epoch: int
    weights: dict[str, Tensor] = field(repr=False)
    probabilities: Probabilities = field(repr=False)


@dataclass
class Course:
    """How far a stage has come: its epochs, and the network at the best and at the last one."""

    epochs: list[Progress] = field(default_factory=list)
    best: Snapshot | None = None
    last: Snapshot | None = None

    def chosen(self, choice: EpochChoice) -> Snapshot:
        """The snapshot that counts."""
        snapshot = self.last if choice == "last" else self.best
        assert snapshot is not None, "a stage has at least one epoch"
        return snapshot

    def extend(self, progress: Progress, snapshot: Snapshot, choice: EpochChoice) -> None:
        """One more epoch; of equally good ones the first stays the best."""
        score = "val_auprc" if choice == "auprc" else "val_auroc"
        if self.best is None or getattr(progress, score) > getattr(self.epochs[self.best.epoch - 1], score):
            self.best = snapshot
        self.epochs.append(progress)
        self.last = snapshot


def train_stage(learner: Learner, course: Course, trial: Trial, checkpoint: Checkpoint) -> None:
    """Go on from ``course`` to the learner's last epoch, or to a rung that it does not reach.

    Raises:
        Diverged: the loss or the probabilities are not finite.
        Stopped: the trial was asked to stop.
    """
    done = Progress(stage=learner.stage, epoch=len(course.epochs), n_epochs=learner.n_epochs)
    trial.progress_reporter.start_from(course.epochs[-1] if course.epochs else done)
    for epoch in range(len(course.epochs) + 1, learner.n_epochs + 1):
        if trial.rungs.early_stop(course.epochs):
            break
        with trial.timed(learner.stage):
            started = time.perf_counter()
            loss = learner.train(epoch)
            probabilities = learner.predict(trial.data.val_rows)
            scores = trial.validated(learner.stage, epoch, loss=loss, probabilities=probabilities)
            progress = Progress(
                stage=learner.stage,
                epoch=epoch,
                n_epochs=learner.n_epochs,
                val_auroc=scores[0],
                val_auprc=scores[1],
                train_loss=loss,
                seconds=time.perf_counter() - started,
            )
            course.extend(progress, Snapshot(epoch, _copied(learner.model), probabilities), trial.params.epoch_choice)
        checkpoint.keep(lambda: packed(learner, course, trial))
        trial.progress_reporter.report(progress)


def packed(learner: Learner, course: Course, trial: Trial) -> Saved:
    """All that ``unpacked`` needs to go on after the course's last epoch."""
    best, last = course.best, course.last
    assert best is not None
    assert last is not None
    tensors = {f"last.{name}": tensor for name, tensor in last.weights.items()}
    tensors["last_probabilities"] = torch.from_numpy(last.probabilities)
    tensors |= {f"optimizer.{name}": tensor for name, tensor in learner.state().items()}
    facts = {
        "stage": learner.stage,
        "epochs": tuple(course.epochs),
        "best_epoch": best.epoch,
        "earlier": tuple(trial.earlier),
        "seconds": dict(trial.seconds),
    }
    if best is last:
        return Saved(facts=facts, tensors=tensors)
    best_tensors = {"probabilities": torch.from_numpy(best.probabilities), **best.weights}
    return Saved(facts=facts, tensors=tensors, best_name=f"{learner.stage}-{best.epoch}", best_tensors=best_tensors)


def unpacked(saved: Saved, learner: Learner) -> Course:
    """The course that ``saved`` holds; the learner's network and optimizer are set to its last epoch."""
    epochs = [Progress(**epoch) for epoch in saved.facts["epochs"]]
    last = Snapshot(len(epochs), _named(saved, "last."), saved.tensors["last_probabilities"].numpy())
    best = last
    if saved.best_name:
        weights = dict(saved.best_tensors)
        probabilities = weights.pop("probabilities").numpy()
        best = Snapshot(saved.facts["best_epoch"], weights, probabilities)
    learner.model.load_state_dict(last.weights)
    learner.restore(_named(saved, "optimizer."))
    return Course(epochs=epochs, best=best, last=last)


def _named(saved: Saved, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in saved.tensors.items() if name.startswith(prefix)}


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
