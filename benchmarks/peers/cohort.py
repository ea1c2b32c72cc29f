"""The synthetic cohort as WFDB files in PTB-XL's layout, so that every variant reads the same files."""

import csv
import warnings
from pathlib import Path

import numpy as np
import wfdb

from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import Synthetic


def write_cohort(folder: Path, source: Synthetic) -> None:
    """Records at 100 Hz and the two tables. A microvolt is one unit, as in PTB-XL, so nothing is lost."""
    records = source.records()
    rows = []
    for i, ecg_id in enumerate(records.ecg_id.tolist()):
        stem = Path("records100") / f"{ecg_id // 1000 * 1000:05d}" / f"{ecg_id:05d}_lr"
        _write_record(folder / stem, source.read(ecg_id, 100))
        given = {records.codes[code]: 100.0 for code in np.flatnonzero(records.statements[i])}
        rows.append((ecg_id, float(records.patient_id[i]), str(given), records.fold[i], stem, stem))
    _write_table(
        folder / "ptbxl_database.csv",
        ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr"),
        rows,
    )
    _write_table(
        folder / "scp_statements.csv",
        ("", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"),
        [
            (
                code,
                *("1.0" if code in records.classes[task] else "" for task in ("diagnostic", "form", "rhythm")),
                records.classes["superdiagnostic"].get(code, ""),
                records.classes["subdiagnostic"].get(code, ""),
            )
            for code in records.codes
        ],
    )


def _write_record(stem: Path, signal: np.ndarray) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb uses what pandas will remove
        wfdb.wrsamp(
            stem.name,
            fs=100,
            units=["mV"] * len(LEADS),
            sig_name=[lead.upper() for lead in LEADS],
            d_signal=np.rint(1000 * signal.T).astype(np.int16),
            fmt=["16"] * len(LEADS),
            adc_gain=[1000.0] * len(LEADS),
            baseline=[0] * len(LEADS),
            write_dir=str(stem.parent),
        )


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
