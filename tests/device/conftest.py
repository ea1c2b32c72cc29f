"""Device tests: they need no device. Collecting them gives torch its guard before any test runs a backward pass."""

from collections.abc import Iterator
from pathlib import Path

import pretended_gpu
import pytest
import safetensors.torch
import torch
from pretended_gpu import Gpu

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import TaskData, load_task
from ablate.ecg.synthetic import Synthetic
from ablate.model.catalogue import EncoderSpec
from ablate.model.encoder import load_encoder

pretended_gpu.install_guard()


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with pretended_gpu.pretended_gpu() as gpu:
        yield gpu


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    """With the test fold opened."""
    cohort = open_cohort(prepare(Synthetic(n_records=90, seed=1), cache_dir=tmp_path_factory.mktemp("prepared")))
    return load_task(cohort, "superdiagnostic", permit=Permit(study="s", slot="1"))


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    file: Path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    encoder = load_encoder(EncoderSpec("net1d_small", "random"), seed=7)
    assert isinstance(encoder, torch.nn.Module)
    safetensors.torch.save_file(encoder.state_dict(), file)
    return EncoderSpec("net1d_small", str(file))
