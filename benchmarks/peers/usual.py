"""(a) The usual script: python usual.py SLOTS.json RESULTS.json.

WFDB files and filters in a Dataset's ``__getitem__``, a DataLoader with a worker for each core, torch with its default
threads, the probe through the encoder in every epoch, scikit-learn after each, Optuna with its defaults, one process.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from script import Batches, Work, read_record, train, write
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

N_WORKERS = os.cpu_count() or 1


class RecordDataset(Dataset):
    def __init__(self, work: Work, ids: np.ndarray) -> None:
        self.preprocessing = work.about["preprocessing"]
        self.paths = [work.path(ecg_id) for ecg_id in ids]
        self.labels = torch.from_numpy(work.labels.loc[ids].to_numpy(copy=True))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        record = read_record(self.paths[index], self.preprocessing)
        return torch.from_numpy(record.astype(np.float32)), self.labels[index]


def main(slots: Path, results: Path) -> None:
    work = Work(slots)
    found = []

    def loader(ids: np.ndarray, batch_size: int) -> Batches:
        # In the given order, and without a draw from torch's global generator, which is dropout's: same.
        return DataLoader(
            RecordDataset(work, ids), batch_size, num_workers=N_WORKERS, generator=torch.Generator().manual_seed(0)
        )

    def objective(trial: optuna.Trial) -> float:
        slot = work.slots[trial.number]
        params: dict[str, Any] = {
            "drop_path_rate": trial.suggest_float("drop_path_rate", 0.0, 0.5),
            "probe_epochs": trial.suggest_int("probe_epochs", 0, 40),
            "ft_lr": trial.suggest_float("ft_lr", 1e-4, 3e-3, log=True),
            "head_lr_ratio": trial.suggest_float("head_lr_ratio", 1.0, 30.0, log=True),
        }
        found.append(train(work, {**slot, "params": slot["params"] | params}, loader))
        return found[-1]["scores"]["val_auroc"]

    study = optuna.create_study(direction="maximize")
    for slot in work.slots:
        study.enqueue_trial(
            {name: slot["params"][name] for name in ("drop_path_rate", "probe_epochs", "ft_lr", "head_lr_ratio")}
        )
    study.optimize(objective, n_trials=len(work.slots))
    write(found, results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
