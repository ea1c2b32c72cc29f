"""How long to fuzz, and what to damage: whole files of each kind that a user hands over."""

import warnings
from pathlib import Path

import pytest
from damage import Patience
from ptbxl_tables import DATABASE, STATEMENTS

from ablate.ecg.source import LEADS
from ablate.ecg.synthetic import Synthetic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # wfdb 4.3 uses what pandas will remove
    import wfdb


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
