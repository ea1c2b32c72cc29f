"""How shipped weights were made: pre-training from prepared records to a weights file and the recipe beside it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ablate import atomic
from ablate.ecg.cohort import Cohort
from ablate.ecg.source import TRAIN_FOLDS
from ablate.ecg.synthetic import Synthetic
from ablate.errors import CheckpointError
from ablate.model.checkpoint import write_weights
from ablate.pretrain.training import Contrastive, Report, Supervised, pretrain_contrastive, pretrain_supervised

PTBXL_SOURCE = (
    "PTB-XL 1.0.3: Wagner, Strodthoff, Bousseljot, Samek, Schaeffter: PTB-XL, a large publicly available "
    "electrocardiography dataset; PhysioNet, doi:10.13026/kfzx-aw45; licence CC BY 4.0"
)


@dataclass(frozen=True)
class Made:
    """A weights file and the recipe beside it."""

    weights: Path
    recipe: Path
    digest: str


def make_contrastive(name: str, cohort: Cohort, method: Contrastive, target: Path, *, report: Report) -> Made:
    """Pre-train on the waveforms of the training folds, of which no label is read, and write the weights.

    Raises:
        CheckpointError: ``target`` is no safetensors file.
        Diverged: the loss is not finite.
    """
    _check_target(target)
    rows = np.flatnonzero(np.isin(cohort.fold, TRAIN_FOLDS))
    losses = _Losses(report)
    encoder = pretrain_contrastive(name, cohort.signals, rows, method, report=losses)
    data = {"source": cohort.source, "digest": cohort.digest, "folds": list(TRAIN_FOLDS), "labels": "none"}
    if cohort.source == "ptbxl":
        data["attribution"] = PTBXL_SOURCE
    return _write(name, encoder, target, method=("contrastive", method), data=data, n_records=len(rows), losses=losses)


def make_supervised(
    name: str, source: Synthetic, cohort: Cohort, method: Supervised, target: Path, *, report: Report
) -> Made:
    """Pre-train on every record of a synthetic cohort, which must not be one that a study uses, and write the weights.

    Raises:
        CheckpointError: ``target`` is no safetensors file.
        Diverged: the loss is not finite.
    """
    _check_target(target)
    targets = source.targets()
    at = np.searchsorted(targets.ecg_id, cohort.ecg_id)
    losses = _Losses(report)
    encoder = pretrain_supervised(
        name, cohort.signals, np.arange(len(at)), targets.latents[at], targets.groups[at], method, report=losses
    )
    data = {
        "source": cohort.source,
        "seed": source.seed,
        "digest": cohort.digest,
        "labels": f"{len(targets.latent_names)} latents and {len(targets.group_names)} groups of the generator as they "
        "truly are; all but one of the groups nearly coincide with a superclass, so transfer to the superdiagnostic "
        "task is favourable by design",
    }
    return _write(name, encoder, target, method=("supervised", method), data=data, n_records=len(at), losses=losses)


def recipe_file(weights: Path) -> Path:
    """Where the recipe of a weights file lies."""
    return weights.with_suffix(".json")


def note(weights: Path, key: str, value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Write ``value`` under ``key`` into the recipe beside ``weights``.

    Raises:
        CheckpointError: there is no recipe.
    """
    file = recipe_file(weights)
    try:
        recipe = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: no recipe can be read beside the weights; pre-train again") from error
    recipe[key] = value
    atomic.write_text(file, json.dumps(recipe, indent=1) + "\n")


class _Losses:
    """Keeps the losses and the time while passing them on."""

    def __init__(self, report: Report) -> None:
        self._report, self.by_epoch, self._start = report, list[float](), time.monotonic()

    def __call__(self, epoch: int, n_epochs: int, loss: float) -> None:
        self.by_epoch.append(round(loss, 4))
        self._report(epoch, n_epochs, loss)

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._start, 1)


def _check_target(target: Path) -> None:
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target}: weights are written as safetensors; name a file that ends in .safetensors")


def _write(
    name: str,
    encoder: nn.Module,
    target: Path,
    *,
    method: tuple[str, Contrastive | Supervised],
    data: Mapping[str, Any],
    n_records: int,
    losses: _Losses,
) -> Made:
    source = str(data.get("attribution", data["source"]))
    digest = write_weights(encoder, target, about=f"{name}, {method[0]} pre-training, data: {source}")
    recipe = {
        "encoder": name,
        "digest": digest,
        "n_parameters": sum(p.numel() for p in encoder.parameters() if p.requires_grad),
        "method": {"name": method[0], **asdict(method[1])},
        "data": {**data, "n_records": n_records},
        "losses": losses.by_epoch,
        "seconds": losses.seconds,
        "versions": {"ablate": version("ablate-ecg"), "torch": torch.__version__, "threads": torch.get_num_threads()},
    }
    atomic.write_text(recipe_file(target), json.dumps(recipe, indent=1) + "\n")
    return Made(target, recipe_file(target), digest)
