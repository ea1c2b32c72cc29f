import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.errors import CheckpointError
from ablate.model.catalogue import Input, StMemShape
from ablate.model.checkpoint import fit, write_weights
from ablate.model.encoder import EncoderSpec, build, load_encoder
from ablate.model.s4d import S4dLayer
from ablate.model.st_mem import StMem

GOLDEN = Path(__file__).parent / "golden"
N_CLASSES, N_HIDDEN = 71, 128


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def weights(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[3:]: value for key, value in golden.items() if key.startswith("sd/")}


def by_formula(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Weights of any size that no file has to hold; a convolution has the same ones under both of its names."""
    filled = {}
    for key, shape in shapes.items():
        seed = sum(key.replace("convpath.0.", "convs.").encode())
        values = torch.from_numpy(np.sin(np.arange(int(np.prod(shape))) * 0.7 + seed)).float().reshape(shape)
        scale = float(np.sqrt(2 / np.prod(shape[1:]))) if len(shape) > 1 else 0.1
        is_around_one = key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1)
        filled[key] = values * scale + (1 if is_around_one else 0)
    return filled


def test_st_mem_s_features_equal_those_of_the_authors_code() -> None:
    golden = arrays("st_mem_small")
    network = StMem(StMemShape(48, 3, 3, 96), Input(250, 12, 600)).eval()
    fit(network, weights(golden), GOLDEN)
    with torch.inference_mode():
        assert (network(golden["x"]) - golden["features"]).abs().max() < 1e-5


def test_a_state_space_layer_equals_its_authors_one() -> None:
    golden = arrays("s4d_layer")
    layer = S4dLayer(32, 16).eval()
    layer.load_state_dict(weights(golden))
    with torch.inference_mode():
        assert (layer.kernel(250) - golden["kernel"]).abs().max() < 1e-5
        assert (layer(golden["u"]) - golden["y"]).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["xresnet1d50", "inception1d"])
def test_checkpoints_of_the_benchmark_load_by_their_names_and_give_their_features(name: str) -> None:
    """The features are ours, noted when they and the authors' were equal to the last bit for the authors' weights."""
    shapes = json.loads((GOLDEN / "benchmark_2021_keys.json").read_text())[name]
    network = cast(nn.Module, build(name)).eval()
    fit(network, by_formula(shapes), GOLDEN)
    x = torch.linspace(-1, 1, 2 * 12 * 250).sin().reshape(2, 12, 250)
    with torch.inference_mode():
        assert (network(x) - arrays("benchmark_2021_features")[name]).abs().max() < 1e-5


def test_st_mem_base_has_its_checkpoint_s_keys_and_size() -> None:
    expected = dict(json.loads((GOLDEN / "st_mem_base_keys.json").read_text()))
    with torch.device("meta"):
        network = cast(nn.Module, build("st_mem_base"))
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == expected
    assert sum(parameter.numel() for parameter in network.parameters()) == 85_150_614


@pytest.mark.parametrize(
    ("name", "n_expected"),
    [("xresnet1d50", 962_503), ("xresnet1d101", 1_880_775), ("inception1d", 516_167), ("resnet1d_wang", 481_863)],
)
def test_with_the_authors_head_a_network_has_their_number_of_parameters(name: str, n_expected: int) -> None:
    with torch.device("meta"):
        network = build(name)
        head = nn.Sequential(
            nn.BatchNorm1d(network.n_features), nn.Linear(network.n_features, N_HIDDEN),
            nn.BatchNorm1d(N_HIDDEN), nn.Linear(N_HIDDEN, N_CLASSES),
        )  # fmt: skip
    parts = (cast(nn.Module, network), head)
    assert sum(parameter.numel() for part in parts for parameter in part.parameters()) == n_expected


@pytest.mark.parametrize("name", ["xresnet1d50", "inception1d", "resnet1d_wang", "s4d"])
def test_written_weights_are_read_again_with_their_statistics(name: str, tmp_path: Path) -> None:
    network = cast(nn.Module, build(name))
    x = torch.randn(4, 12, 250)
    network.train()(x)
    file = tmp_path / "weights.safetensors"
    write_weights(network, file, about="a test")
    with torch.inference_mode():
        assert torch.equal(load_encoder(EncoderSpec(name, str(file)))(x), network.eval()(x))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    write_weights(cast(nn.Module, build("inception1d")), file, about="a test")
    with pytest.raises(CheckpointError, match="keys do not fit the encoder"):
        load_encoder(EncoderSpec("resnet1d_wang", str(file)))
