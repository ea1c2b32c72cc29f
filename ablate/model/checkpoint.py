"""Checkpoints: reading weights without ever executing code, fitting them to a network, and writing them.

A file is what ``torch.save`` writes (a dict of tensors, or one with ``state_dict`` beside optimizer and scheduler) or
safetensors. What ECGFounder's files hold beyond the encoder is accepted: BatchNorm entries that its network never
uses, and its own head ``dense``.
"""

import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ablate import atomic, digest
from ablate.errors import CheckpointError, first_line
from ablate.model.catalogue import WeightsFile
from ablate.model.net1d import Net1D
from ablate.model.wrapping import unwrap

HEAD = "dense."  # of ECGFounder's own 150 classes
N_LISTED = 5

# Plain numbers that training loops like to store; rebuilding them executes nothing.
_scalar = cast("Callable[..., Any]", np.float64(0).__reduce__()[0])
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    _scalar,
    (_scalar, "numpy.core.multiarray.scalar"),  # as numpy 1 wrote it
    np.dtype,
    *(type(np.dtype(kind)) for kind in "fdil?"),
]


def read_checkpoint(file: Path) -> object:
    """What the checkpoint holds, tensors and plain values alone.

    Raises:
        CheckpointError: the file is missing, cut short, no checkpoint, or a pickle that would run code.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: no such checkpoint; expected a .pth or .safetensors file")
    return _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)


def load_weights(network: nn.Module, file: Path, *, wrapping: WeightsFile | None = None) -> None:
    """Put the checkpoint's weights into ``network``.

    Args:
        network: whose weights are replaced.
        file: the checkpoint.
        wrapping: where in it they are; guessed where only one guess fits.

    Raises:
        CheckpointError: as ``read_checkpoint``; or keys are missing, misshaped or unknown, or a weight is not finite.
    """
    fit(network, unwrap(read_checkpoint(file), network.state_dict(), file, wrapping).weights, file)


def fit(network: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    """Put ``weights``, which came from ``file``, into ``network``.

    Raises:
        CheckpointError: keys are missing, misshaped or unknown, or a weight is not finite.
    """
    problems = mismatches(network, weights).lines
    if problems:
        more = f"; and {len(problems) - N_LISTED} more" if len(problems) > N_LISTED else ""
        raise CheckpointError(
            f"{file}: {len(problems)} keys do not fit the encoder: {'; '.join(problems[:N_LISTED])}{more}; "
            "expected a checkpoint of the same architecture"
        )
    bad = [key for key, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{file}: {bad[0]} is not finite ({len(bad)} such keys); expected finite weights")
    wanted = network.state_dict()
    network.load_state_dict({key: weights.get(key, value) for key, value in wanted.items()})


@dataclass(frozen=True)
class Mismatches:
    """What keeps weights from fitting a network, a line for each of its names that the file lacks or has otherwise.

    Attributes:
        missing: names of the network that are not there.
        misshaped: name -> the shape that is there and the one that is expected.
        unknown: names that the network does not have.
    """

    missing: tuple[str, ...]
    misshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unknown: tuple[str, ...]

    @property
    def lacking(self) -> tuple[str, ...]:
        """What the network needs and does not get, a line for each name."""
        shapes = [f"{key} has shape {shape}, expected {expected}" for key, (shape, expected) in self.misshaped.items()]
        return (*(f"{key} is missing" for key in self.missing), *shapes)

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it, a line for each name; empty where the weights fit."""
        return (*self.lacking, *(f"{key} is unknown" for key in self.unknown))


def mismatches(network: nn.Module, weights: Mapping[str, Tensor]) -> Mismatches:
    """What keeps ``weights`` from fitting ``network``."""
    wanted = network.state_dict()
    unused = {key for key in {*wanted, *weights} if _is_unused(network, key)}
    return Mismatches(
        missing=tuple(key for key in wanted if key not in weights and key not in unused),
        misshaped={
            key: (tuple(weights[key].shape), tuple(value.shape))
            for key, value in wanted.items()
            if key in weights and weights[key].shape != value.shape
        },
        unknown=tuple(key for key in weights if key not in wanted and key not in unused),
    )


def write_weights(network: nn.Module, file: Path, *, about: str) -> str:
    """Write ``packed_weights`` to ``file``; returns the file's digest."""
    atomic.write_bytes(file, packed_weights(network, about=about))
    return digest.of_file(file)


def packed_weights(network: nn.Module, *, about: str) -> bytes:
    """What ``network`` computes with as a safetensors file, without unused entries.

    Equal weights give equal bytes: ``about`` is the only metadata, since safetensors writes several in random order.
    """
    used = {key: value for key, value in network.state_dict().items() if not _is_unused(network, key)}
    content: bytes = safetensors.torch.save(
        {key: value.cpu().contiguous() for key, value in used.items()}, {"about": about}
    )
    return content


def _is_unused(network: nn.Module, key: str) -> bool:
    if isinstance(network, Net1D) and key.startswith(HEAD) and network.dense is None:
        return True
    is_unused = getattr(network, "is_unused", None)  # of networks whose authors' checkpoints hold more
    return is_unused is not None and bool(is_unused(key))


def _read_safetensors(file: Path) -> Mapping[str, Tensor]:
    try:
        return safetensors.torch.load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file}: not readable as safetensors ({first_line(error)}); copy or fetch it again"
        ) from error


def _read_torch(file: Path) -> object:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")  # what torch says about old pickles; a file it cannot read is an error
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file}: refused, since it holds more than weights and loading it could run code; or it is damaged. "
            "Save its state_dict alone, or as safetensors"
        ) from error
    except Exception as error:  # a damaged pickle lets torch's reader stumble over anything
        raise CheckpointError(
            f"{file}: not readable as a checkpoint ({first_line(error)}); copy or fetch it again"
        ) from error
