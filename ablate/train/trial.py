"""One trial while it is trained: its data, seed and device, and whom it reports to."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ablate import seeds
from ablate.ecg.split import TaskData
from ablate.errors import Diverged
from ablate.outcome import Probabilities, Progress, Stage
from ablate.stats.metrics import both_outcomes, macro_auprc, macro_auroc
from ablate.train.early_stopping import NO_RUNGS, Rungs
from ablate.train.machine import Machine
from ablate.train.params import Params
from ablate.train.signals import Signals

ALIVE_S = 10.0  # between two signs of life within an epoch


class Stopped(Exception):
    """``stop()`` was true. What was finished stands in the checkpoint, from which another call goes on."""


class ProgressReporter:
    """Reports each epoch, and within a long one says now and then that the trial is alive."""

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self._report, self._reported_at = report, time.monotonic()
        self._last: Progress | None = None

    def report(self, progress: Progress) -> None:
        """An epoch is finished, or a stage has come so far."""
        self._report(progress)
        self.start_from(progress)

    def start_from(self, progress: Progress) -> None:
        """What is reported again until something new is; not reported now."""
        self._last, self._reported_at = replace(progress, train_loss=None), time.monotonic()

    def report_alive(self) -> None:
        """Report the last thing again, without a training loss, when that is a while ago."""
        if self._last is not None and time.monotonic() - self._reported_at >= ALIVE_S:
            self.report(self._last)


@dataclass(frozen=True)
class Trial:
    """What every stage of a trial works with.

    Attributes:
        train_rows: the subset, as rows of the cohort's signals.
        targets: their labels, smoothed, on the device.
        rungs: where fine-tuning may end early.
        earlier: epochs of stages that are over.
        seconds: spent so far, by stage.
        notes: what was done otherwise than asked.
    """

    data: TaskData
    params: Params
    seed: int
    machine: Machine
    device: torch.device
    signals: Signals
    train_rows: Int[np.ndarray, "record"]
    targets: Float[Tensor, "record class"]
    lost_classes: tuple[str, ...]
    progress_reporter: ProgressReporter
    stop: Callable[[], bool]
    rungs: Rungs = NO_RUNGS
    earlier: list[Progress] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def check_stop(self) -> None:
        """Leave the trial when it was asked to stop; called at every batch, so it shows signs of life too.

        Raises:
            Stopped: it was.
        """
        if self.stop():
            raise Stopped
        self.progress_reporter.report_alive()

    @contextlib.contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Count the time inside to ``stage``."""
        before, started = self.seconds.get(stage, 0.0), time.perf_counter()
        yield
        self.seconds[stage] = before + time.perf_counter() - started

    def validated(self, stage: Stage, epoch: int, *, loss: float, probabilities: Probabilities) -> tuple[float, float]:
        """Validation macro AUROC and AUPRC, over the classes that have both outcomes there.

        Raises:
            Diverged: the loss or a probability is not finite.
        """
        if not (np.isfinite(loss) and np.isfinite(probabilities).all()):
            name = "probe_lr" if stage == "probe" else "ft_lr"
            rate = f"{name} = {getattr(self.params, name):g}"
            raise Diverged(
                f"{stage}, epoch {epoch}: the loss is {loss:g} with {rate}; expected finite scores, lower it"
            )
        labels = self.data.val_labels
        classes = both_outcomes(labels)
        return macro_auroc(labels, probabilities, classes=classes), macro_auprc(labels, probabilities, classes=classes)


def start_head(head: nn.Linear, seed: int) -> None:
    """The head's first weights, the same in every arm: uniform within 1 over the root of its inputs, as torch's own."""
    generator = torch.Generator().manual_seed(seeds.derive(seed, "head"))
    bound = head.in_features**-0.5
    with torch.no_grad():
        for parameter in (head.weight, head.bias):
            parameter.copy_(torch.rand(parameter.shape, generator=generator) * 2 * bound - bound)


def smoothed(
    labels: Bool[np.ndarray, "record class"], smoothing: float, device: torch.device
) -> Float[Tensor, "record class"]:
    """Targets of the loss: 0 and 1, each moved towards one half by half of ``smoothing``."""
    targets = torch.from_numpy(np.ascontiguousarray(labels)).to(device).float()
    return targets * (1 - smoothing) + smoothing / 2 if smoothing else targets


def to_probabilities(logits: Float[Tensor, "record class"]) -> Probabilities:
    """Sigmoid in float32, on the CPU."""
    probabilities: Probabilities = logits.float().sigmoid().cpu().numpy()
    return probabilities
