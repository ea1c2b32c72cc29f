"""The role of an encoder, the classifier around it, and how one is built from its spec.

To add an encoder of a known kind add an entry to ``CATALOGUE`` in ``model/catalogue.py``; a new kind needs a shape
there and a line in ``_NETWORKS`` here. An encoder of another package is named by an entry point in the group
``ablate.encoders``. ``tests/contract/test_encoder.py`` holds what each has to do.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ablate import seeds
from ablate.errors import SpecError
from ablate.model import catalogue
from ablate.model.benchmark_2021 import Inception1d, ResNet1dWang, XResNet1d
from ablate.model.catalogue import (
    EncoderSpec,
    InceptionShape,
    Input,
    Net1DShape,
    ResNetShape,
    S4dShape,
    StMemShape,
    VitShape,
    WeightsFile,
    XResNetShape,
    encoder_digest,
)
from ablate.model.checkpoint import load_weights
from ablate.model.encoder_role import Encoder
from ablate.model.net1d import Net1D
from ablate.model.own_encoder import own_encoder
from ablate.model.s4d import S4d
from ablate.model.st_mem import StMem
from ablate.model.vit import VisionTransformer

__all__ = [
    "Classifier",
    "Encoder",
    "EncoderSpec",
    "build",
    "classifier_bytes",
    "encoder_digest",
    "load_encoder",
    "require_input",
]


_NETWORKS: Mapping[type, Callable[[Any, Input], Encoder]] = {
    VitShape: VisionTransformer,
    XResNetShape: XResNet1d,
    ResNetShape: ResNet1dWang,
    InceptionShape: Inception1d,
    S4dShape: S4d,
    StMemShape: StMem,
}


class EncoderModule(nn.Module):
    """For the type checker: an encoder that is also a module."""

    n_features: int


class Classifier(nn.Module):
    """An encoder, dropout on its features and a linear head, which is fp32 also where the encoder is autocast.

    Scores are compared to three decimals and bf16 has fewer, so logits must not be rounded to it.
    """

    def __init__(self, encoder: Encoder, n_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = cast(EncoderModule, encoder)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.n_features, n_classes)

    def forward(self, x: Float[Tensor, "batch lead sample"]) -> Float[Tensor, "batch class"]:
        """Logits of each class."""
        features = self.encoder(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return cast(Tensor, self.head(self.dropout(features)))


def load_encoder(spec: EncoderSpec, *, seed: int = 0) -> Encoder:
    """The encoder that ``spec`` names, in eval mode, on the CPU.

    Args:
        spec: which encoder with which weights.
        seed: of random weights.

    Raises:
        SpecError: nothing has that name.
        CheckpointError: the weights are missing, damaged, unsafe or of another shape.
    """
    file = catalogue.weights_file(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "encoder"))
        encoder = build(spec.name)
    if file is not None:
        wrapping = spec.weights if isinstance(spec.weights, WeightsFile) else None
        load_weights(cast(nn.Module, encoder), file, wrapping=wrapping)
    return cast(Encoder, cast(nn.Module, encoder).eval())


def classifier_bytes(name: str, n_classes: int) -> int:
    """What the weights of the encoder of that name with a head for ``n_classes`` take, without making them.

    Raises:
        SpecError: nothing has that name.
    """
    with torch.device("meta"):
        classifier = Classifier(build(name), n_classes)
    return sum(value.nbytes for value in classifier.state_dict().values())


def require_input(encoder: Encoder, *, fs_hz: int, n_leads: int, n_samples: int, any_rate: bool = False) -> None:
    """Refuse records that ``encoder`` does not take.

    Args:
        encoder: that shall take them.
        fs_hz: their rate.
        n_leads: of each.
        n_samples: of each, or of a window.
        any_rate: where the encoder starts from random weights and takes any length, no rate is its own.

    Raises:
        SpecError: another rate, number of leads or length.
    """
    expected = {"fs_hz": encoder.fs_hz, "n_leads": encoder.n_leads, "n_samples": encoder.n_samples or n_samples}
    given = {"fs_hz": fs_hz, "n_leads": n_leads, "n_samples": n_samples}
    if any_rate and encoder.n_samples is None:
        expected["fs_hz"] = fs_hz
    for key, value in given.items():
        if value != expected[key]:
            raise SpecError(
                f"the records have {key} = {value}, the encoder expects {expected[key]}; "
                "give it such records (fs_hz, leads, window_s), or choose another encoder"
            )


def build(name: str) -> Encoder:
    """The encoder of that name with fresh weights from torch's global generator.

    Raises:
        SpecError: nothing has that name, or the entry point gives no encoder.
    """
    catalogued = catalogue.entry(name)
    if catalogued is None:
        return own_encoder(name)
    if isinstance(catalogued.shape, Net1DShape):
        return Net1D(catalogued.shape, catalogued.input, channels_last=catalogued.channels_last)
    return _NETWORKS[type(catalogued.shape)](catalogued.shape, catalogued.input)
