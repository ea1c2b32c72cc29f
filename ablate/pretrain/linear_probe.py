"""A linear probe of an encoder: validation scores of logistic regression on its features, fitted on few labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from torch import nn

from ablate import seeds
from ablate.ecg.split import TaskData, fraction
from ablate.model.encoder import EncoderSpec, load_encoder, require_input
from ablate.stats.metrics import both_outcomes, macro_auprc, macro_auroc
from ablate.train.feature_extraction import forward
from ablate.train.signals import Signals

STRENGTHS = (0.01, 0.03, 0.1, 0.3)  # inverse L2 penalties to choose from
N_INNER_FOLDS = 4


@dataclass(frozen=True)
class Reading:
    """One probe on one subset of the training records, scored on the classes that the validation fold can score."""

    seed: int
    n_train: int
    n_classes: int
    strength: float
    val_auroc: float
    val_auprc: float


@dataclass(frozen=True)
class Comparison:
    """Readings of one kind of weights over several subsets."""

    weights: str
    n_subsets: int
    n_train: int
    n_classes: int
    val_auroc: float
    val_auroc_sd: float
    val_auprc: float
    val_auprc_sd: float


def compare(
    spec: EncoderSpec, data: TaskData, *, data_fraction: float, subset_seeds: Sequence[int]
) -> list[Comparison]:
    """Probe the encoder with its weights and with random ones, each subset with other random weights.

    Raises:
        SpecError: nothing has that name, or the records do not suit the encoder.
        CheckpointError: the weights cannot be loaded.
        DataError: the fraction leaves no record.
    """
    random = _probe_all(replace(spec, weights="random"), [[seed] for seed in subset_seeds], data, data_fraction)
    return [random] if spec.is_random else [_probe_all(spec, [subset_seeds], data, data_fraction), random]


def _probe_all(spec: EncoderSpec, parts: Sequence[Sequence[int]], data: TaskData, data_fraction: float) -> Comparison:
    """Readings of all seeds, summed up; each part of the seeds gets an encoder of its own."""
    readings: list[Reading] = []
    for subset_seeds in parts:
        encoder = load_encoder(spec, seed=subset_seeds[0])
        require_input(encoder, fs_hz=data.fs_hz, n_leads=data.signals.shape[1], n_samples=data.signals.shape[2])
        readings += measure(cast(nn.Module, encoder), data, data_fraction=data_fraction, subset_seeds=subset_seeds)
    return _summary(str(spec.weights), readings)


def measure(
    encoder: nn.Module, data: TaskData, *, data_fraction: float, subset_seeds: Sequence[int]
) -> Iterator[Reading]:
    """Probe ``encoder`` on one patient-wise subset for each seed.

    The penalty is chosen by cross-validation over the subset's patients, never on the validation fold.

    Args:
        encoder: gives the features; it is put in eval mode.
        data: task whose validation fold is scored.
        data_fraction: of the training records that have labels, in (0, 1].
        subset_seeds: one subset each.
    """
    parts = [fraction(data, data_fraction=data_fraction, seed=seeds.derive(seed, "subset")) for seed in subset_seeds]
    needed = np.unique(np.concatenate(parts))
    encoder.eval()
    signals = Signals(data.signals, device=torch.device("cpu"))
    features = forward(encoder, signals, data.train_rows[needed]).numpy()
    train = np.zeros((len(data.train_rows), features.shape[1]), np.float32)
    train[needed] = features
    val = forward(encoder, signals, data.val_rows).numpy()
    for seed, part in zip(subset_seeds, parts, strict=True):
        strength = _choose(train[part], data.train_labels[part], data.train_patients[part])
        scores = _predict(train[part], data.train_labels[part], val, strength)
        counted = both_outcomes(data.val_labels)
        auroc, auprc = (macro(data.val_labels, scores, classes=counted) for macro in (macro_auroc, macro_auprc))
        yield Reading(seed, len(part), int(counted.sum()), strength, float(auroc), float(auprc))


def _summary(weights: str, readings: Sequence[Reading]) -> Comparison:
    auroc, auprc = ([getattr(reading, name) for reading in readings] for name in ("val_auroc", "val_auprc"))
    return Comparison(
        weights=weights,
        n_subsets=len(readings),
        n_train=round(float(np.mean([reading.n_train for reading in readings]))),
        n_classes=readings[0].n_classes,
        val_auroc=float(np.mean(auroc)),
        val_auroc_sd=float(np.std(auroc, ddof=min(1, len(auroc) - 1))),
        val_auprc=float(np.mean(auprc)),
        val_auprc_sd=float(np.std(auprc, ddof=min(1, len(auprc) - 1))),
    )


def _choose(
    features: Float[np.ndarray, "n feature"], labels: Bool[np.ndarray, "n class"], patients: Int[np.ndarray, "n"]
) -> float:
    folds = list(GroupKFold(N_INNER_FOLDS, shuffle=True, random_state=0).split(features, groups=patients))
    scores = []
    for strength in STRENGTHS:
        predicted = np.zeros(labels.shape)
        for learn, check in folds:
            predicted[check] = _predict(features[learn], labels[learn], features[check], strength)
        scores.append(macro_auroc(labels, predicted, classes=both_outcomes(labels)))
    return STRENGTHS[int(np.nanargmax(scores))]


def _predict(
    features: Float[np.ndarray, "n feature"],
    labels: Bool[np.ndarray, "n class"],
    others: Float[np.ndarray, "m feature"],
    strength: float,
) -> Float[np.ndarray, "m class"]:
    scaler = StandardScaler().fit(features)
    learn, ask = scaler.transform(features), scaler.transform(others)
    scores = np.zeros((len(others), labels.shape[1]))
    for column in range(labels.shape[1]):
        if 0 < labels[:, column].sum() < len(labels):
            model = LogisticRegression(C=strength, max_iter=500).fit(learn, labels[:, column])
            scores[:, column] = model.decision_function(ask)
    return scores
