"""Writes records and tables as PhysioNet does, by wfdb and the csv module."""

import csv
import warnings
from pathlib import Path

import numpy as np

from ablate.ecg.source import LEADS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
    import wfdb


def write_by_wfdb(*arguments, **named) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(*arguments, **named)


def write_record(stem: Path, signal: np.ndarray, fs_hz: int, leads=LEADS, fmt="16") -> None:
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
