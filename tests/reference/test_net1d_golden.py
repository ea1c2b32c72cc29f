import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.model.catalogue import CATALOGUE, FOUNDER_CLASSES, Input, Net1DShape
from ablate.model.net1d import Net1D

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "net1d_small.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.mark.parametrize("channels_last", [False, True])
def test_logits_and_features_equal_those_of_the_authors_code(
    golden: dict[str, torch.Tensor], channels_last: bool
) -> None:
    shape = Net1DShape(8, (8, 16, 16, 24), (1, 2, 2, 2), 8, n_classes=5)
    network = Net1D(shape, Input(100, 12), channels_last=channels_last).eval()
    network.load_state_dict({key[3:]: value for key, value in golden.items() if key.startswith("sd/")})
    with torch.inference_mode():
        assert (network(golden["x"]) - golden["features"]).abs().max() < 1e-5
        assert (network.logits(golden["x"]) - golden["logits"]).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "n_leads"), [("ecgfounder", 12), ("ecgfounder_1lead", 1)])
def test_ecgfounder_has_its_checkpoint_s_keys_in_order_its_shapes_and_its_size(name: str, n_leads: int) -> None:
    expected = json.loads((GOLDEN / "ecgfounder_state_dict.json").read_text())
    expected["first_conv.conv.weight"][1] = n_leads
    shape, takes = CATALOGUE[name].shape, CATALOGUE[name].input
    assert isinstance(shape, Net1DShape)
    with torch.device("meta"):
        network = Net1D(Net1DShape(**{**vars(shape), "n_classes": FOUNDER_CLASSES}), takes)
    found = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(found.items()) == list(expected.items())
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert n_parameters == 30_819_014 - 64 * 16 * (12 - n_leads)
    assert network.n_features == 1024
