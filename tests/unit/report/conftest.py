"""Simulated studies in several states, each made once."""

import pytest
from simulated_study import SMALL, Simulator, search_study

from ablate.report.evidence import Evidence, weigh
from ablate.report.study_record import StudyRecord
from ablate.store.study_tables import StudyTables


@pytest.fixture(scope="session")
def finished() -> StudyTables:
    """Everything is done."""
    return Simulator(**SMALL).tables()


@pytest.fixture(scope="session")
def evidence(finished: StudyTables) -> Evidence:
    """What the finished study says."""
    return weigh(finished)


@pytest.fixture(scope="session")
def study(evidence: Evidence) -> StudyRecord:
    """The finished study as the report reads it."""
    return evidence.study


@pytest.fixture(scope="session")
def going() -> StudyTables:
    """The search is done, the confirmation half."""
    return Simulator(**SMALL, confirmed=0.5).tables()


@pytest.fixture(scope="session")
def searching() -> StudyTables:
    """The search is half done, nothing is sealed."""
    return Simulator(**SMALL, searched=0.5, confirmed=0.0).tables()


@pytest.fixture(scope="session")
def untouched() -> StudyTables:
    """Planned, and no more."""
    return Simulator(**SMALL, searched=0.0, confirmed=0.0).tables()


@pytest.fixture(scope="session")
def searched() -> StudyTables:
    """One arm, everything searched, nothing compared."""
    return search_study(n_records=50, search_trials=64).tables()


@pytest.fixture(scope="session")
def failed() -> StudyTables:
    """One replicate of lp failed for good."""
    return Simulator(**SMALL, failed=("confirm/lp/data_fraction=0.1/3",)).tables()


@pytest.fixture(scope="session")
def mixed() -> StudyTables:
    """One replicate came from other code."""
    return Simulator(**SMALL, mixed=("confirm/sd/data_fraction=1.0/2",)).tables()
