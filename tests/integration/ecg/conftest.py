"""A small PTB-XL in PhysioNet's layout, written by wfdb from synthetic records."""

import shutil
import subprocess
from pathlib import Path

import pytest
from wfdb_folder import write_record, write_table

from ablate.ecg.synthetic import Synthetic

N_RECORDS = 40
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


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    """Both rates of 40 records, four in each fold; some patients have two."""
    folder = tmp_path_factory.mktemp("ptbxl")
    source = Synthetic(N_RECORDS, 5)
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


@pytest.fixture
def ptbxl(pristine, tmp_path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "ptbxl"))


@pytest.fixture(scope="session")
def small_disk():
    """Calls a Python program in a mount namespace of its own.

    Its argument 1 is a folder on a disk that one chunk of records fits on, not two.
    """
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs mount namespaces: unshare -rm is not permitted here")

    def call(python: str, program: Path, folder: Path, options: str) -> subprocess.CompletedProcess[str]:
        script = f'mount -t tmpfs -o size=3500k tmpfs "$2" && mount -o remount,{options} "$2" && exec "$0" "$1" "$2"'
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, python, str(program), str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call
