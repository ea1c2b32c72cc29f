"""The whole of ECGFounder's network with random weights: its checkpoint's form, its determinism, its inspection."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ablate.model.catalogue import CATALOGUE, FOUNDER_CLASSES, EncoderSpec, Net1DShape
from ablate.model.encoder import load_encoder
from ablate.model.inspection import NOTED_LOGITS, inspect
from ablate.model.net1d import Net1D


@pytest.fixture(scope="module")
def network() -> Net1D:
    found = CATALOGUE["ecgfounder"]
    assert isinstance(found.shape, Net1DShape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net1D(replace(found.shape, n_classes=FOUNDER_CLASSES), found.input).eval()


@pytest.fixture(scope="module")
def checkpoint(network: Net1D, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("founder") / "12_lead_ECGFounder.pth"
    torch.save({"epoch": 1, "state_dict": network.state_dict(), "optimizer": {"state": {}, "param_groups": []}}, file)
    return file


def test_the_encoder_loads_all_keys_and_its_forward_pass_is_deterministic(network: Net1D, checkpoint: Path) -> None:
    encoder = load_encoder(EncoderSpec("ecgfounder", str(checkpoint)))
    x = torch.randn(1, 12, 1000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(encoder(x), encoder(x))
        assert torch.equal(encoder(x), network(x))


def test_inspection_finds_name_size_keys_and_first_logits(network: Net1D, checkpoint: Path) -> None:
    found = inspect(checkpoint)
    assert (found.encoder, found.n_parameters, found.n_keys, found.n_unused) == ("ecgfounder", 30_819_014, 509, 305)
    assert found.n_classes == FOUNDER_CLASSES and found.noted_logits == NOTED_LOGITS and found.agrees is False
    x = torch.linspace(-1, 1, 60_000).reshape(1, 12, 5000)
    with torch.inference_mode():
        assert found.logits == pytest.approx(network.logits(x)[0, :6].tolist(), abs=1e-6)


def test_one_lead_weights_do_not_pass_for_twelve(network: Net1D, tmp_path: Path) -> None:
    weights = network.state_dict() | {"first_conv.conv.weight": network.first_conv.conv.weight[:, :1]}
    file = tmp_path / "1_lead.pth"
    torch.save({"state_dict": weights}, file)
    found = inspect(file)
    assert found.encoder == "ecgfounder_1lead" and found.noted_logits is None and found.logits
    (problem,) = inspect(file, name="ecgfounder").problems
    assert "shape (64, 1, 16), expected (64, 12, 16)" in problem
