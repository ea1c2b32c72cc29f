import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.errors import DataError
from ablate.train.feature_cache import FeatureCache
from ablate.train.feature_extraction import BATCH, extract, forward, why_not_kept
from ablate.train.signals import Signals

IDENTITY = {"encoder": "e", "cohort": "c"}
FEATURES = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


class Builder:
    def __init__(self, features: np.ndarray = FEATURES) -> None:
        self.n_built, self.features = 0, features

    def __call__(self) -> np.ndarray:
        self.n_built += 1
        return self.features


def load(
    cache: FeatureCache,
    build: Builder,
    *,
    identity: dict[str, str] = IDENTITY,
    is_right: Callable[..., Any] = lambda found: True,
    notes: list[Any] | None = None,
) -> np.ndarray:
    return cache.load(
        identity, build, is_right=is_right, wait=lambda: None, note=[].append if notes is None else notes.append
    )


def features_file(folder: Path) -> Path:
    (found,) = folder.glob("*/features.npy")
    return found


def test_features_are_built_once_and_mapped_read_only(tmp_path: Path) -> None:
    build, cache = Builder(), FeatureCache(tmp_path)
    first, second = load(cache, build), load(FeatureCache(tmp_path), build)
    assert build.n_built == 1
    assert np.array_equal(first, FEATURES)
    assert isinstance(second, np.memmap)
    assert not second.flags.writeable
    assert np.array_equal(second, FEATURES)


def test_another_identity_has_features_of_its_own(tmp_path: Path) -> None:
    build, cache = Builder(), FeatureCache(tmp_path)
    load(cache, build)
    load(cache, build, identity={**IDENTITY, "encoder": "other"})
    assert build.n_built == 2


def cut_short(folder: Path) -> None:
    file = features_file(folder)
    file.write_bytes(file.read_bytes()[:-8])


def change_a_byte(folder: Path) -> None:
    file = features_file(folder)
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def empty_the_facts(folder: Path) -> None:
    (features_file(folder).parent / "meta.json").write_text("[]")


def write_by_another_version(folder: Path) -> None:
    file = features_file(folder).parent / "meta.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 99}))


def belong_to_something_else(folder: Path) -> None:
    file = features_file(folder).parent / "meta.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"identity": {"encoder": "foreign"}}))


@pytest.mark.parametrize(
    "damage", [cut_short, change_a_byte, empty_the_facts, write_by_another_version, belong_to_something_else]
)
def test_damaged_and_foreign_features_are_built_again(tmp_path: Path, damage: Callable[..., Any]) -> None:
    build, cache = Builder(), FeatureCache(tmp_path)
    load(cache, build)
    damage(tmp_path)
    assert np.array_equal(load(cache, build), FEATURES)
    assert build.n_built == 2
    assert np.array_equal(load(cache, build), FEATURES)
    assert build.n_built == 2


def test_features_that_the_encoder_would_not_give_are_built_again(tmp_path: Path) -> None:
    load(FeatureCache(tmp_path), Builder())
    for file in tmp_path.glob("*/features.npy"):
        file.touch()  # another process has not looked at it yet
    build = Builder(FEATURES + 1)
    found = load(FeatureCache(tmp_path), build, is_right=lambda found: np.array_equal(found, FEATURES + 1))
    assert build.n_built == 1
    assert np.array_equal(found, FEATURES + 1)


def test_a_folder_that_cannot_be_made_is_an_error_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    build = Builder()
    with pytest.raises(DataError, match="file"):
        load(FeatureCache(tmp_path / "file" / "cache"), build)
    assert build.n_built == 0


def test_features_that_cannot_be_written_are_returned_all_the_same(tmp_path: Path) -> None:
    build, notes = Builder(), []
    cache = FeatureCache(tmp_path)
    load(cache, Builder(), identity={"to": "learn the name"})
    (known,) = (path for path in tmp_path.iterdir() if path.is_dir())
    features_file(tmp_path).unlink()
    (known / "meta.json").unlink()
    known.rmdir()
    known.write_text("a file stands where the folder should be")
    found = load(cache, build, identity={"to": "learn the name"}, notes=notes)
    assert np.array_equal(found, FEATURES)
    assert build.n_built == 1
    assert "could not be kept" in notes[0]


SIGNALS = Signals(
    np.random.default_rng(1).normal(size=(3 * BATCH + 5, 2, 8)).astype(np.float16), device=torch.device("cpu")
)
ROWS = np.arange(len(SIGNALS))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.SiLU(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Noisy(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(len(x), 3)


class DropsAlways(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class OwnGenerator(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(3, generator=self.generator)


class Counting(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return super().forward(x)


class Mixing(Plain):
    def forward(self, x: Tensor) -> Tensor:
        found = super().forward(x)
        return found - found[0]


def with_a_norm_left_in_train_mode() -> nn.Module:
    encoder = Plain()
    encoder.net.append(nn.BatchNorm1d(3))
    return encoder.train()


@pytest.mark.parametrize(
    ("encoder", "why"),
    [
        (Noisy(), "random"),
        (DropsAlways(), "random"),
        (OwnGenerator(), "random"),
        (Counting(), "buffer count"),
        (Mixing(), "other records"),
        (with_a_norm_left_in_train_mode(), "buffer net.4.running_mean"),
    ],
)
def test_encoders_whose_features_must_not_be_kept_are_found(
    encoder: Counting | DropsAlways | Mixing | Noisy | OwnGenerator | Plain, why: str
) -> None:
    buffers = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    assert why in why_not_kept(encoder, SIGNALS, ROWS)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in encoder.named_buffers())


def test_a_plain_encoder_is_fit() -> None:
    assert why_not_kept(Plain().eval(), SIGNALS, ROWS) is None


def test_extraction_equals_any_batch_through_the_encoder_to_the_last_bit() -> None:
    encoder, ticks = Plain().eval(), []
    whole = extract(encoder, SIGNALS, ROWS, tick=ticks.append)
    rows = np.array([5, 190, 3, 3, 77])
    assert np.array_equal(forward(encoder, SIGNALS, rows).numpy(), whole[rows])
    assert ticks == [0, 1, 2, 3, 4]
