"""An example of somebody's own records: simulated ones as plain arrays in microvolts, with a table that names them."""

import csv
from pathlib import Path

import numpy as np

from ablate.ecg.synthetic import Synthetic
from ablate.ecg.task import class_labels

TABLE = "records.csv"
FS_HZ = 100


def write_example(folder: Path, *, n_records: int, seed: int = 0) -> None:
    """Write ``n_records`` records below ``folder``, and a table with their files, patients and five labels."""
    source = Synthetic(n_records, seed)
    records = source.records()
    names, labels = class_labels(records.statements, records.codes, records.classes["superdiagnostic"])
    (folder / "ecg").mkdir(parents=True)
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "person", *names])
        for ecg_id, patient, flags in zip(records.ecg_id.tolist(), records.patient_id, labels, strict=True):
            name = f"ecg/{ecg_id:05d}.npy"
            np.save(folder / name, np.round(source.read(ecg_id, FS_HZ) * 1000).astype(np.int16))
            table.writerow([name, f"p{patient:05d}", *flags.astype(int)])
