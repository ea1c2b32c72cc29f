"""How long to fuzz, and what to damage: whole files of each kind that a user hands over."""

import warnings
from pathlib import Path

import pytest
from damage import Patience

from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import Synthetic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
    import wfdb

STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior infarction,1.0,,,MI,IMI
PVC,extrasystole,,1.0,,,
SR,sinus rhythm,,,1.0,,
"""
DATABASE = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr\n" + "".join(
    f"{i},{100 + i}.0,50,0,\"{{'{'NORM' if i % 2 else 'IMI'}': 100.0, 'SR': 0.0}}\",{i},"
    f"records100/00000/{i:05d}_lr,records500/00000/{i:05d}_hr\n"
    for i in range(1, 11)
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-minutes", type=float, default=0.0, help="for each kind of file; 0 is one round")


@pytest.fixture
def patience(request: pytest.FixtureRequest) -> Patience:
    """For how long each kind of file is damaged."""
    return Patience(request.config.getoption("--fuzz-minutes", default=0.0) * 60)


@pytest.fixture(scope="session")
def ptbxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten records of PTB-XL in PhysioNet's layout, the first with its signal."""
    folder = tmp_path_factory.mktemp("ptbxl")
    (folder / "ptbxl_database.csv").write_text(DATABASE)
    (folder / "scp_statements.csv").write_text(STATEMENTS)
    records = folder / "records100" / "00000"
    records.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(
            "00001_lr", fs=100, units=["mV"] * 12, sig_name=[lead.upper() for lead in LEADS], fmt=["16"] * 12,
            p_signal=Synthetic(10, 0).read(1, 100).T.astype(float), write_dir=str(records),
        )  # fmt: skip
    return folder
