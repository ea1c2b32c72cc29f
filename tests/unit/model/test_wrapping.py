"""Checkpoints as they are found: keys, prefixes and heads that are guessed where one guess fits, or declared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.errors import CheckpointError
from ablate.model.catalogue import EncoderSpec, WeightsFile
from ablate.model.encoder import load_encoder

Wrap = Callable[[dict[str, Tensor]], Any]


def weights() -> dict[str, Tensor]:
    encoder = load_encoder(EncoderSpec("net1d_small", "random"), seed=5)
    assert isinstance(encoder, nn.Module)
    return encoder.state_dict()


def with_prefix(prefix: str) -> Wrap:
    return lambda tensors: {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 3},
        lambda tensors: {"model": tensors},
        lambda tensors: {"model_state_dict": tensors},
        lambda tensors: {"encoder": tensors},
        with_prefix("module."),
        with_prefix("_orig_mod."),
        with_prefix("model."),
        lambda tensors: {"model": with_prefix("module.")(tensors)},
    ],
)
def test_usual_wrappings_are_seen_through(tmp_path: Path, wrap: Wrap) -> None:
    torch.save(wrap(weights()), tmp_path / "a.pth")
    loaded = load_encoder(EncoderSpec("net1d_small", str(tmp_path / "a.pth")))
    assert isinstance(loaded, nn.Module)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in weights().items())


def test_what_is_declared_is_taken(tmp_path: Path) -> None:
    other = {name: tensor + 1 for name, tensor in weights().items()}
    head = {"net.fc.weight": torch.zeros(5, 128), "net.fc.bias": torch.zeros(5)}
    torch.save({"teacher": other, "student": with_prefix("net.")(weights()) | head}, tmp_path / "a.pth")
    given = WeightsFile(str(tmp_path / "a.pth"), key="student", strip="net.", head="fc")
    loaded = load_encoder(EncoderSpec("net1d_small", given))
    assert isinstance(loaded, nn.Module)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in weights().items())


def test_a_key_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    torch.save({"student": weights()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="teacher"):
        load_encoder(EncoderSpec("net1d_small", WeightsFile(str(tmp_path / "a.pth"), key="teacher")))


def test_weights_of_another_architecture_are_one_line(tmp_path: Path) -> None:
    encoder = load_encoder(EncoderSpec("vit_small", "random"))
    assert isinstance(encoder, nn.Module)
    torch.save(encoder.state_dict(), tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as refused:
        load_encoder(EncoderSpec("net1d_small", str(tmp_path / "a.pth")))
    assert "\n" not in str(refused.value)
