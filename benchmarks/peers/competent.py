"""(b) A competent user's script: python competent.py SLOTS.json RESULTS.json [--features-once].

Records are read by wfdb and filtered once, in one process for each core, into a 16-bit array on disk. Then one
one-thread process for each core, forked with torch imported, takes slots as they come; batches are indexed from the
mapped array. The probe goes through the encoder in every epoch, since most write it so: the training loop with the
encoder frozen. With ``--features-once`` a trial computes its features once, as the best write it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from script import Batches, Loader, Work, read_record, train, write


def read(job: tuple[str, str]) -> np.ndarray:
    return read_record(*job)


def prepare(work: Work, target: Path) -> Path:
    """Every record of the table that has a label, in its order."""
    jobs = [(work.path(ecg_id), work.about["preprocessing"]) for ecg_id in work.labels.index]
    array = np.lib.format.open_memmap(target, "w+", np.float16, (len(jobs), 12, 1000))
    with get_context("fork").Pool(work.about["n_processes"]) as pool:
        for i, record in enumerate(pool.imap(read, jobs, chunksize=64)):
            array[i] = record
    array.flush()
    return target


def memory_loader(work: Work, array: Path) -> Loader:
    records, labels = np.load(array, mmap_mode="r"), torch.from_numpy(work.labels.to_numpy(copy=True))

    def load(ids: np.ndarray, batch_size: int) -> Batches:
        rows = work.labels.index.get_indexer(ids)
        for start in range(0, len(rows), batch_size):
            piece = rows[start : start + batch_size]
            yield torch.from_numpy(records[piece]).float(), labels[piece]

    return load


def fill(slot: dict[str, Any], *, work: Work, array: Path, features_once: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    return train(work, slot, memory_loader(work, array), features_once=features_once)


def main(slots: Path, results: Path, *, features_once: bool) -> None:
    work = Work(slots)
    array = prepare(work, results.with_suffix(".npy"))
    one = partial(fill, work=work, array=array, features_once=features_once)
    method = "spawn" if work.about["device"].startswith("cuda") else "fork"
    with get_context(method).Pool(work.about["n_processes"]) as pool:
        write(list(pool.imap_unordered(one, work.slots)), results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), features_once="--features-once" in sys.argv)
