"""What a checkpoint is: which encoder it fits, and whether it computes what its authors' one is known to compute."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ablate import digest
from ablate.model import catalogue
from ablate.model.catalogue import Net1DShape, WeightsFile
from ablate.model.checkpoint import HEAD, fit, mismatches, read_checkpoint
from ablate.model.encoder import build
from ablate.model.net1d import Net1D
from ablate.model.wrapping import Unwrapped, unwrap

# First logits of the published 12-lead checkpoint for linspace(-1, 1, 60000) as 12 x 5000, known to 1e-5.
NOTED_LOGITS = (8.3751, -4.1527, -6.7857, -2.8648, 4.4136, -2.2547)
NOTED_TOLERANCE = 1e-3  # the noted figures have four decimals, and kernels differ between machines
PROBE_SAMPLES = 5000


@dataclass(frozen=True)
class Inspection:
    """What was found in a checkpoint.

    Attributes:
        n_matched: of the encoder's own names, those that the file has in the right shape.
        missing: names of the encoder that the file has not, or in another shape; where there is one, the file is of
            another architecture.
        left_over: names in the file that belong to neither encoder nor head.
        problems: what keeps the encoder from being loaded from the file, a line for each name.
        key, strip, head: where in the file the weights are, given or guessed.
        n_parameters: of the network with the checkpoint's own head, unused BatchNorm weights included.
        n_unused: keys that the network never applies.
        logits: the first six for the linspace input, None without a head.
        noted_logits: of the published checkpoint, None where none are known.
        agrees: whether the two are the same, None where they cannot be compared.
    """

    file: str
    digest: str
    encoder: str
    n_matched: int
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    key: str
    strip: str
    head: str
    n_parameters: int
    n_keys: int
    n_unused: int
    n_classes: int
    logits: tuple[float, ...] | None
    noted_logits: tuple[float, ...] | None
    agrees: bool | None

    problems: tuple[str, ...] = ()


def inspect(file: Path, *, name: str | None = None, wrapping: WeightsFile | None = None) -> Inspection:
    """Read ``file`` and compare it with the encoder ``name``, or with whichever of the catalogue fits best.

    Args:
        file: a checkpoint.
        name: of an encoder.
        wrapping: where in the file its weights are; guessed where only one guess fits.

    Raises:
        SpecError: nothing has that name.
        CheckpointError: the file cannot be read, or several parts of it fit equally well.
    """
    content = read_checkpoint(file)
    name = name or _nearest(content, file, wrapping)
    wanted = cast(nn.Module, build(name)).state_dict()
    part = unwrap(content, wanted, file, wrapping)
    network = _with_head(name, part.of_head)
    weights = {**part.weights, **part.of_head} if isinstance(network, Net1D) and network.dense else part.weights
    problems = mismatches(network, weights)
    if not problems.lines:
        fit(network, weights, file)
    logits = None if problems.lines else _logits(network)
    noted = NOTED_LOGITS if name == "ecgfounder" and logits else None
    agrees = max(abs(a - b) for a, b in zip(logits, noted, strict=True)) < NOTED_TOLERANCE if logits and noted else None
    return Inspection(
        file=str(file),
        digest=digest.of_file(file),
        encoder=name,
        n_matched=sum(key in weights and weights[key].shape == value.shape for key, value in wanted.items()),
        missing=problems.lacking,
        left_over=(*problems.unknown, *part.left_over),
        key=part.key,
        strip=part.strip,
        head=part.head,
        n_parameters=sum(parameter.numel() for parameter in network.parameters()),
        n_keys=len(weights),
        n_unused=sum(Net1D.is_unused(key) for key in weights) if isinstance(network, Net1D) else 0,
        n_classes=network.dense.out_features if isinstance(network, Net1D) and network.dense else 0,
        logits=logits,
        noted_logits=noted,
        agrees=agrees,
        problems=problems.lines,
    )


def _nearest(content: object, file: Path, wrapping: WeightsFile | None) -> str:
    def n_mismatches(name: str) -> int:
        network = cast(nn.Module, build(name))
        part: Unwrapped = unwrap(content, network.state_dict(), file, wrapping)
        return len(mismatches(network, part.weights).lines)

    with torch.device("meta"):
        return min(catalogue.CATALOGUE, key=n_mismatches)


def _with_head(name: str, weights: Mapping[str, Tensor]) -> nn.Module:
    catalogued, head = catalogue.entry(name), weights.get(f"{HEAD}weight")
    if catalogued is None or not isinstance(catalogued.shape, Net1DShape) or head is None:
        return cast(nn.Module, build(name))
    return Net1D(
        replace(catalogued.shape, n_classes=len(head)), catalogued.input, channels_last=catalogued.channels_last
    )


def _logits(network: nn.Module) -> tuple[float, ...] | None:
    if not isinstance(network, Net1D) or network.dense is None:
        return None
    network.eval()
    n_leads = network.n_leads
    with torch.inference_mode():
        logits = network.logits(torch.linspace(-1, 1, n_leads * PROBE_SAMPLES).reshape(1, n_leads, PROBE_SAMPLES))
    return tuple(logits[0, : len(NOTED_LOGITS)].tolist())
