"""Networks of the 2021 benchmark against their authors' own output, where the files are that hold it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.model.catalogue import EncoderSpec
from ablate.model.encoder import load_encoder


def read(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A golden file's weights by name, and what else it holds."""
    folder = os.environ.get("ABLATE_TEST_REFERENCE") or Path(__file__).parents[3] / "shared" / "reference"
    file = Path(folder) / name
    if not file.is_file():
        pytest.skip(f"{file} is absent: set ABLATE_TEST_REFERENCE to the folder that holds it")
    with np.load(file) as golden:
        tensors = {name: torch.from_numpy(np.array(golden[name])) for name in golden.files}
    weights = {name.removeprefix("sd/"): tensor for name, tensor in tensors.items() if name.startswith("sd/")}
    return weights, {name: tensor for name, tensor in tensors.items() if not name.startswith("sd/")}


@pytest.mark.parametrize("name", ["xresnet1d50", "inception1d"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_benchmarks_checkpoints_load_and_give_its_features(name: str, prefix: str, tmp_path: Path) -> None:
    weights, rest = read(f"{name}.npz")
    torch.save({"state_dict": {f"{prefix}{key}": value for key, value in weights.items()}}, tmp_path / "a.pth")
    encoder = load_encoder(EncoderSpec(name, str(tmp_path / "a.pth")))
    with torch.inference_mode():
        assert torch.allclose(encoder(rest["x"]), rest["features"], rtol=0, atol=1e-5)
