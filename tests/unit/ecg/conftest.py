import pytest

from ablate.ecg.cohort import Cohort
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.synthetic import Synthetic


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return open_cohort(prepare(Synthetic(500, 3), cache_dir=tmp_path_factory.mktemp("prepared")))
