"""Writes records and tables as PhysioNet does, by wfdb and the csv module."""

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import Synthetic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
    import wfdb


def write_by_wfdb(*arguments: str, **named: int | list[Any] | np.ndarray | str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(*arguments, **named)


def write_record(
    stem: Path, signal: np.ndarray, fs_hz: int, leads: list[str] | tuple[str, str, str] = LEADS, fmt: str = "16"
) -> None:
    """One WFDB record; ``signal`` in millivolts (lead, sample), leads in upper case as in PTB-XL."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_by_wfdb(
        stem.name,
        fs=fs_hz,
        units=["mV"] * len(leads),
        sig_name=[lead.upper() for lead in leads],
        p_signal=signal.T.astype(np.float64),
        fmt=[fmt] * len(leads),
        adc_gain=[1000.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(stem.parent),
    )


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


N_RECORDS, SEED = 40, 5
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass,Statement Category
NORM,normal ECG,1.0,,,NORM,NORM,
IMI,inferior infarction,1.0,,,MI,IMI,
LVH,hypertrophy,1.0,,,HYP,LVH,
NDT,T abnormalities,1.0,1.0,,STTC,STTC,
PVC,extrasystole,,1.0,,,,
SR,sinus rhythm,,,1.0,,,
AFIB,atrial fibrillation,,,1.0,,,
"""
GIVEN = (
    "{'NORM': 100.0, 'SR': 0.0}",
    "{'IMI': 50.0, 'AFIB': 0.0}",
    "{'NDT': 0.0, 'PVC': 100.0, 'SR': 0.0}",
    "{'LVH': 80.0}",
)


def write_ptbxl(folder: Path) -> Path:
    """A small PTB-XL: both rates of ``N_RECORDS`` synthetic records, four in each fold; some patients have two."""
    source = Synthetic(N_RECORDS, SEED)
    rows = []
    for ecg_id in range(1, N_RECORDS + 1):
        names = {100: f"records100/00000/{ecg_id:05d}_lr", 500: f"records500/00000/{ecg_id:05d}_hr"}
        for rate, name in names.items():
            write_record(folder / name, source.read(ecg_id, rate), rate)
        rows.append({
            "ecg_id": ecg_id, "patient_id": f"{100 + ecg_id // 2 * 2}.0" if ecg_id % 8 < 2 else f"{1000 + ecg_id}.0",
            "age": 300 if ecg_id == 3 else 50, "sex": 0, "scp_codes": GIVEN[ecg_id % 4],
            "strat_fold": (ecg_id // 2 * 2) % 20 // 2 + 1, "filename_lr": names[100], "filename_hr": names[500],
        })  # fmt: skip
    write_table(folder / "ptbxl_database.csv", rows)
    (folder / "scp_statements.csv").write_text(STATEMENTS)
    return folder
