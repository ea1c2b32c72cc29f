import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ablate.errors import CheckpointError, SpecError
from ablate.model.catalogue import CATALOGUE, EncoderSpec, Input, Net1DShape, encoder_digest, weights_file
from ablate.model.checkpoint import load_weights, read_checkpoint, write_weights
from ablate.model.encoder import load_encoder, require_input
from ablate.model.net1d import Net1D

SHAPE = Net1DShape(8, (8, 16), (1, 1), 8, kernel_size=4)


def network(*, n_classes: int = 0, seed: int = 0) -> Net1D:
    torch.manual_seed(seed)
    shape = Net1DShape(8, (8, 16), (1, 1), 8, kernel_size=4, n_classes=n_classes)
    return Net1D(shape, Input(100, 12)).eval()


def save(content: object, file: Path) -> Path:
    torch.save(content, file)
    return file


def training_checkpoint(net: Net1D) -> dict:
    """What a training loop writes: weights beside optimizer, scheduler and plain numbers, some of them numpy's."""
    optimizer = torch.optim.AdamW([p for stage in net.stages() for p in stage])
    net(torch.randn(2, 12, 64)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(),
        "scheduler": {"last_epoch": 3, "_last_lr": [1e-3]}, "best": np.float64(0.9),
    }  # fmt: skip


def test_weights_come_back_from_a_training_checkpoint_with_head_batchnorm_and_optimizer(tmp_path: Path) -> None:
    net = network(n_classes=5)
    file = save(training_checkpoint(net), tmp_path / "12_lead.pth")
    other = network(seed=1)
    load_weights(other, file)
    x = torch.randn(2, 12, 100)
    assert torch.equal(other(x), net(x))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_batchnorm_entries_may_be_missing(tmp_path: Path, suffix: str) -> None:
    net, other, file = network(), network(seed=1), tmp_path / f"plain.{suffix}"
    kept = {key: value for key, value in net.state_dict().items() if "bn" not in key}
    if suffix == "pth":
        save(kept, file)
    else:
        safetensors.torch.save_file(kept, file)
    load_weights(other, file)
    assert torch.equal(other(torch.ones(1, 12, 64)), net(torch.ones(1, 12, 64)))


def test_written_weights_have_no_unused_entries_and_the_digest_of_the_file(tmp_path: Path) -> None:
    net, file = network(), tmp_path / "out.safetensors"
    digest = write_weights(net, file, about="a test")
    assert not any("bn" in key for key in read_checkpoint(file))
    assert write_weights(net, tmp_path / "again.safetensors", about="a test") == digest
    other = network(seed=1)
    load_weights(other, file)
    assert torch.equal(other(torch.ones(1, 12, 64)), net(torch.ones(1, 12, 64)))


def test_every_misfit_is_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    weights = network().state_dict()
    weights["first_conv.conv.weight"] = torch.zeros(8, 1, 4)
    weights = {key.replace("stage_list.1", "stages.1"): value for key, value in weights.items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(network(), save(weights, tmp_path / "renamed.pth"))
    message = str(caught.value)
    assert "renamed.pth" in message and "\n" not in message
    assert "21 keys do not fit" in message and "stage_list.1.block_list.0.conv1.conv.weight is missing" in message
    assert "and 16 more" in message


def test_a_misshaped_key_names_both_shapes(tmp_path: Path) -> None:
    weights = network().state_dict() | {"first_conv.conv.weight": torch.zeros(8, 1, 4)}
    with pytest.raises(CheckpointError, match=r"first_conv.conv.weight has shape \(8, 1, 4\), expected \(8, 12, 4\)"):
        load_weights(network(), save(weights, tmp_path / "one.pth"))


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    deeper = Net1D(Net1DShape(8, (8, 16, 16), (1, 1, 1), 8, kernel_size=4), Input(100, 12))
    with pytest.raises(CheckpointError, match=r"stage_list\.2\.block_list\.0\.conv1\.conv\.weight is unknown"):
        load_weights(network(), save(deeper.state_dict(), tmp_path / "deeper.pth"))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = network().state_dict()
    weights["first_conv.conv.bias"] = torch.full((8,), float("nan"))
    with pytest.raises(CheckpointError, match=r"first_conv\.conv\.bias is not finite"):
        load_weights(network(), save(weights, tmp_path / "nan.pth"))


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", [torch.save, lambda content, file: Path(file).write_bytes(pickle.dumps(content))])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, writer: Callable[..., Any]) -> None:
    file = tmp_path / "bomb.pth"
    writer({"state_dict": network().state_dict(), "scheduler": Bomb(tmp_path / "exploded")}, file)
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(file)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "pth":
        save({"state_dict": network().state_dict()}, whole)
    else:
        write_weights(network(), whole, about="a test")
    cut = tmp_path / f"cut.{suffix}"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=f"cut.{suffix}") as caught:
        read_checkpoint(cut)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"epoch": 3}, torch.zeros(3), {"state_dict": 3}])
def test_what_holds_no_weights_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_weights(network(), save(content, tmp_path / "other.pth"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "nowhere.pth")
    with pytest.raises(CheckpointError, match=r"encoder.weights = 'nowhere.pth'"):
        load_encoder(EncoderSpec("net1d_small", "nowhere.pth"))
    with pytest.raises(CheckpointError, match="vit_small"):
        load_encoder(EncoderSpec("vit_small", "synthetic"))


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"encoder.name = 'resnet'.*net1d_small.*ecgfounder"):
        load_encoder(EncoderSpec("resnet", "random"))


def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone() -> None:
    spec = EncoderSpec("net1d_small", "random")
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    one, same, other = load_encoder(spec, seed=1), load_encoder(spec, seed=1), load_encoder(spec, seed=2)
    assert torch.equal(torch.rand(1), expected)
    x = torch.ones(1, 12, 200)
    assert torch.equal(one(x), same(x)) and not torch.equal(one(x), other(x))
    assert encoder_digest(spec, seed=1) == encoder_digest(spec, seed=1) != encoder_digest(spec, seed=2)


def test_the_digest_follows_architecture_and_content(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    save({"a": torch.zeros(1)}, file)
    first = encoder_digest(EncoderSpec("net1d_small", str(file)))
    assert encoder_digest(EncoderSpec("net1d_small", str(file)), seed=5) == first
    assert encoder_digest(EncoderSpec("vit_small", str(file))) != first
    save({"a": torch.ones(1)}, file)
    assert encoder_digest(EncoderSpec("net1d_small", str(file))) != first
    assert weights_file(EncoderSpec("net1d_small", "random")) is None


def test_records_of_another_kind_are_refused_by_name() -> None:
    encoder = load_encoder(EncoderSpec("vit_small", "random"))
    require_input(encoder, fs_hz=100, n_leads=12, n_samples=1000)
    for wrong, words in (({"fs_hz": 500}, "fs_hz = 500"), ({"n_leads": 1}, "n_leads = 1"), ({"n_samples": 999}, "999")):
        with pytest.raises(SpecError, match=words):
            require_input(encoder, **{"fs_hz": 100, "n_leads": 12, "n_samples": 1000, **wrong})


def test_every_entry_of_the_catalogue_says_what_it_is() -> None:
    assert all(found.about for found in CATALOGUE.values())
