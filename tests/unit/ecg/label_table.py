"""Makes a task of any size without signals, for what looks at labels and patients only."""

import numpy as np

from ablate.ecg.split import TaskData


def make_task(labels: np.ndarray, patients: np.ndarray = None) -> TaskData:
    empty = np.empty(0, np.int64)
    return TaskData(
        classes=tuple(f"c{index:02d}" for index in range(labels.shape[1])),
        signals=np.zeros((0, 12, 10), np.float16),
        fs_hz=100,
        train_rows=np.arange(len(labels)),
        val_rows=empty,
        test_rows=empty,
        train_labels=labels,
        val_labels=labels[:0],
        test_labels=None,
        train_patients=np.arange(len(labels)) if patients is None else patients,
        val_patients=empty,
        test_patients=empty,
        digest="",
    )


def random_task(n_records: int = 4000, n_classes: int = 40, seed: int = 0) -> TaskData:
    random = np.random.default_rng(seed)
    labels = random.random((n_records, n_classes)) < np.geomspace(0.002, 0.4, n_classes)
    return make_task(labels, np.sort(random.integers(0, int(n_records * 0.87), n_records)))
