"""What the scripts of (a) to (c) have in common: PTB-XL's labels, a record's filters and a plain training loop.

Written as in PTB-XL's example and in ECGFounder's fine-tuning script. ``same`` marks the few places where a slot
prescribes what a script would draw by itself, so that every variant ends with the same scores: the head's first
weights, the order of records, dropout's seed and drop path's. They cost nothing worth naming.
"""

import ast
import copy
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812
import wfdb
from published import Classifier
from scipy.ndimage import median_filter
from scipy.signal import butter, filtfilt
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from ablate import seeds
from ablate.train.trial import start_head  # same

Batches = Iterable[tuple[Tensor, Tensor]]
Loader = Callable[[np.ndarray, int], Batches]  # ecg_ids in order, batch size -> records and labels
Scores = dict[str, float]

EVAL_BATCH = 256


def read_labels(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """PTB-XL's table and the superclasses of each record, by ecg_id; records without any are left out."""
    table = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
    statements = pd.read_csv(folder / "scp_statements.csv", index_col=0)
    superclass = statements[statements.diagnostic == 1].diagnostic_class
    given = table.scp_codes.map(
        lambda text: {superclass[code] for code in ast.literal_eval(text) if code in superclass}
    )
    classes = sorted(set(superclass))
    labels = pd.DataFrame({name: given.map(lambda found, name=name: name in found) for name in classes})
    labels = labels[labels.any(axis=1)].astype(np.float32)
    return table.loc[labels.index], labels


def read_record(path: str, preprocessing: str) -> np.ndarray:
    """Filtered and scaled, leads first; rounded to 16 bits as ours, so that scores can be compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb uses what pandas will remove
        signal, _ = wfdb.rdsamp(path)
    x = signal.T
    if preprocessing == "ecgfounder":
        x = filtfilt(*BAND, x)  # at 100 Hz the notch at 50 Hz stands on Nyquist: left out
        x = x - np.stack([median_filter(lead, 41, mode="constant") for lead in x])
    x = (x - x.mean()) / (x.std() + 1e-8)
    return np.nan_to_num(x).astype(np.float16)


BAND = butter(4, (0.67, 40.0), btype="bandpass", fs=100)


class Work:
    """What a script is told on its command line: the slots, the folder of records and where to write."""

    def __init__(self, file: Path) -> None:
        self.about: dict[str, Any] = json.loads(file.read_text())
        self.folder = Path(self.about["folder"])
        self.table, self.labels = read_labels(self.folder)
        self.train_ids = {slot["key"]: np.array(slot["train_ids"]) for slot in self.about["slots"]}  # same
        self.val_ids, self.test_ids = (self.table.index[self.table.strat_fold == fold].to_numpy() for fold in (9, 10))

    @property
    def slots(self) -> list[dict[str, Any]]:
        return self.about["slots"]

    def path(self, ecg_id: int) -> str:
        return str(self.folder / self.table.filename_lr[ecg_id])


def train(
    work: Work,
    slot: dict[str, Any],
    loader: Loader,
    *,
    features_once: bool = False,
    report: Callable[[Scores], None] = lambda _: None,
) -> dict[str, Any]:
    """Probe, fine-tune, choose the best epoch on fold 9, score it on fold 10."""
    begun_at, p, seed = time.time(), slot["params"], slot["seed"]
    device, ids = torch.device(work.about["device"]), work.train_ids[slot["key"]]
    model = Classifier(
        work.about["shape"],
        Path(work.about["weights"]),
        work.labels.shape[1],
        dropout=p["dropout"],
        drop_path_rate=p["drop_path_rate"],
    )
    start_head(model.head, seed)
    model.to(device)
    seconds = {"probe": 0.0, "finetune": 0.0, "test": 0.0}

    started = time.perf_counter()
    if p["probe_epochs"]:
        probe(work, p, seed, model, ids, loader, device, features_once=features_once, report=report)
        seconds["probe"] = time.perf_counter() - started

    started = time.perf_counter()
    optimizer = torch.optim.AdamW(finetune_groups(model, p))
    schedule = cosine(optimizer, p["ft_epochs"] * math.ceil(len(ids) / p["batch_size"]), p["min_lr_ratio"])
    best: Scores = {"auroc": -1.0}
    best_state: dict[str, Tensor] = {}
    for epoch in range(1, p["ft_epochs"] + 1):
        seed_noise(model, seed, epoch)
        model.train()
        for x, y in loader(shuffled(ids, seed, "finetune", epoch), p["batch_size"]):
            loss = F.binary_cross_entropy_with_logits(model(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), p["grad_clip"])
            optimizer.step()
            schedule.step()
        found = evaluate(model, loader(work.val_ids, EVAL_BATCH), device)
        report(found)
        if found["auroc"] > best["auroc"]:
            best, best_state = found, copy.deepcopy(model.state_dict())
    seconds["finetune"] = time.perf_counter() - started

    started = time.perf_counter()
    model.load_state_dict(best_state)
    test = evaluate(model, loader(work.test_ids, EVAL_BATCH), device)
    seconds["test"] = time.perf_counter() - started
    scores = {"val_auroc": best["auroc"], "val_auprc": best["auprc"]}
    scores |= {"test_auroc": test["auroc"], "test_auprc": test["auprc"]}
    return {"key": slot["key"], "scores": scores, "seconds": seconds, "begun_at": begun_at}


def probe(
    work: Work,
    p: dict[str, Any],
    seed: int,
    model: Classifier,
    ids: np.ndarray,
    loader: Loader,
    device: torch.device,
    *,
    features_once: bool,
    report: Callable[[Scores], None],
) -> None:
    """The encoder frozen, the head trained: the same loop with the records going through the encoder, as most write it.

    With ``features_once`` they go through it once for each trial and the loop sees their features.
    """
    model.eval()
    if features_once:
        loader, encoder = kept_features(model, np.concatenate([ids, work.val_ids]), loader, device), nn.Identity()
    else:
        encoder = model.encoder
    head = model.head
    groups = [{"params": [head.weight], "weight_decay": p["probe_weight_decay"]}]
    groups += [{"params": [head.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=p["probe_lr"])
    schedule = cosine(optimizer, p["probe_epochs"] * math.ceil(len(ids) / p["batch_size"]), p["min_lr_ratio"])
    for epoch in range(1, p["probe_epochs"] + 1):
        for x, y in loader(shuffled(ids, seed, "probe", epoch), p["batch_size"]):
            with torch.no_grad():
                features = encoder(x.to(device))
            loss = F.binary_cross_entropy_with_logits(head(features), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        report(evaluate(nn.Sequential(encoder, head), loader(work.val_ids, EVAL_BATCH), device))


def kept_features(model: Classifier, ids: np.ndarray, loader: Loader, device: torch.device) -> Loader:
    with torch.no_grad():
        found = [(model.encoder(x.to(device)), y) for x, y in loader(ids, EVAL_BATCH)]
    features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    place = {int(ecg_id): i for i, ecg_id in enumerate(ids)}

    def load(wanted: np.ndarray, batch_size: int) -> Batches:
        at = torch.tensor([place[int(ecg_id)] for ecg_id in wanted])
        return ((features[piece], labels[piece]) for piece in at.split(batch_size))

    return load


def evaluate(model: nn.Module, batches: Batches, device: torch.device) -> Scores:
    """Macro scores by scikit-learn."""
    model.eval()
    with torch.no_grad():
        found = [(torch.sigmoid(model(x.to(device))).cpu().numpy(), y.numpy()) for x, y in batches]
    predicted, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    counted = labels.min(axis=0) != labels.max(axis=0)
    return {
        "auroc": float(roc_auc_score(labels[:, counted], predicted[:, counted], average="macro")),
        "auprc": float(average_precision_score(labels[:, counted], predicted[:, counted], average="macro")),
    }


def finetune_groups(model: Classifier, p: dict[str, Any]) -> list[dict[str, Any]]:
    """Biases are not decayed; the head has a rate of its own."""
    groups = []
    for part, rate in ((model.encoder, p["ft_lr"]), (model.head, p["ft_lr"] * p["head_lr_ratio"])):
        matrices = [parameter for parameter in part.parameters() if parameter.ndim > 1]
        vectors = [parameter for parameter in part.parameters() if parameter.ndim == 1]
        groups += [{"params": matrices, "lr": rate, "weight_decay": p["weight_decay"]}]
        groups += [{"params": vectors, "lr": rate, "weight_decay": 0.0}]
    return groups


def cosine(optimizer: torch.optim.Optimizer, n_steps: int, min_ratio: float) -> torch.optim.lr_scheduler.LambdaLR:
    def factor(step: int) -> float:
        return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * step / max(n_steps - 1, 1))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def shuffled(ids: np.ndarray, seed: int, stage: str, epoch: int) -> np.ndarray:
    """Same: the permutation of one epoch."""
    return np.random.default_rng(seeds.derive(seed, "order", stage, epoch)).permutation(ids)


def seed_noise(model: Classifier, seed: int, epoch: int) -> None:
    """Same: what dropout and drop path draw in one epoch."""
    torch.manual_seed(seeds.derive(seed, "dropout", epoch))
    for i, block in enumerate(model.encoder.blocks()):
        block.drop_path.generator = torch.Generator().manual_seed(seeds.derive(seed, "drop_path", i, epoch))


def write(results: list[dict[str, Any]], file: Path) -> None:
    file.write_text(json.dumps(results))
