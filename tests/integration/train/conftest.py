from pathlib import Path

import pytest
import safetensors.torch

from ablate.ecg.cohort import Cohort
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.model.encoder import EncoderSpec, load_encoder


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return open_cohort(prepare(Synthetic(n_records=200, seed=1), cache_dir=tmp_path_factory.mktemp("prepared")))


@pytest.fixture(scope="session")
def data(cohort: Cohort) -> TaskData:
    return load_task(cohort, "superdiagnostic")


@pytest.fixture(scope="session")
def open_data(cohort: Cohort) -> TaskData:
    """The same with the test fold opened."""
    return load_task(cohort, "superdiagnostic", permit=Permit(study="s", slot="1"))


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    """A "pre-trained" small encoder: weights from a file, so trials share it."""
    file: Path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    encoder = load_encoder(EncoderSpec("net1d_small", "random"), seed=7)
    safetensors.torch.save_file(encoder.state_dict(), file)
    return EncoderSpec("net1d_small", str(file))
