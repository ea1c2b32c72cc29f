"""Weights out of the wrapping in which others keep them: under a key, behind a prefix, beside a head.

What is not said is guessed, and only where one guess fits the encoder better than every other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ablate.errors import CheckpointError
from ablate.model.catalogue import WeightsFile

KEYS = ("state_dict", "model", "model_state_dict", "encoder", "net", "teacher", "student")  # that training scripts use
HEADS = ("dense", "fc", "head", "classifier")  # that networks call their last layer

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Unwrapped:
    """The part of a checkpoint that is the encoder's.

    Attributes:
        weights: by the encoder's own names.
        of_head: weights of a head, left out of ``weights``.
        left_over: names in the file that belong to neither.
        key, strip, head: where they were, given or guessed; empty for nowhere in particular.
    """

    weights: dict[str, Tensor] = field(repr=False)
    of_head: dict[str, Tensor] = field(repr=False)
    left_over: tuple[str, ...]
    key: str
    strip: str
    head: str


def unwrap(content: object, wanted: Tensors, file: Path, how: WeightsFile | None = None) -> Unwrapped:
    """The weights for a network of these names and shapes.

    Args:
        content: of the checkpoint.
        wanted: the network's own state.
        file: for errors.
        how: what is known of the wrapping.

    Raises:
        CheckpointError: there are no weights there, or several parts fit equally well.
    """
    parts = dict(_parts(content, how.key if how else None))
    if not parts:
        where = f"under {how.key!r}" if how and how.key else f"as such or under one of {', '.join(KEYS)}"
        raise CheckpointError(f"{file}: holds no weights {where}; expected a dict of tensors{_keys_of(content)}")
    guesses = [
        (_n_matched(tensors, strip, wanted), key, strip)
        for key, tensors in parts.items()
        for strip in ([how.strip] if how and how.strip is not None else _strips(tensors, wanted))
    ]
    most = max(n for n, _, _ in guesses)
    best = [(key, strip) for n, key, strip in guesses if n == most]
    if len(best) > 1 and most:
        shown = "; ".join(f"key = {key!r}, strip = {strip!r}" for key, strip in best[:4])
        raise CheckpointError(
            f"{file}: {len(best)} parts fit equally well ({shown}); say which, as weights = {{ file = …, key = …, "
            "strip = … }"
        )
    key, strip = best[0]
    return _taken(parts[key], key, strip, how.head if how else None, wanted)


def _taken(tensors: Tensors, key: str, strip: str, head: str | None, wanted: Tensors) -> Unwrapped:
    inside = {name.removeprefix(strip): tensor for name, tensor in tensors.items() if name.startswith(strip)}
    head = _head_of(inside, wanted) if head is None else head.rstrip(".")
    of_head = {name: tensor for name, tensor in inside.items() if head and name.startswith(f"{head}.")}
    weights = {name: tensor for name, tensor in inside.items() if name not in of_head}
    left_over = tuple(name for name in tensors if not name.startswith(strip))
    return Unwrapped(weights, of_head, left_over, key, strip, head)


def _parts(content: object, key: str | None) -> Iterator[tuple[str, Tensors]]:
    """Every part of a checkpoint that may hold weights, by its key."""
    if key is not None:
        part = content
        for name in key.split(".") if key else ():
            part = part.get(name) if isinstance(part, Mapping) else None
        if _is_weights(part):
            yield key, part  # type: ignore[misc]
        return
    if not isinstance(content, Mapping):
        return
    if _is_weights(content):
        yield "", content
    for name in KEYS:
        if _is_weights(content.get(name)):
            yield name, content[name]


def _is_weights(part: object) -> bool:
    return isinstance(part, Mapping) and bool(part) and all(isinstance(value, Tensor) for value in part.values())


def _strips(tensors: Tensors, wanted: Tensors) -> list[str]:
    """What names of the file may begin with before the encoder's own names; nothing is one possibility."""
    ends = {name.rpartition(".")[2] for name in wanted}
    likely = {
        name.removesuffix(own)
        for own in list(wanted)[:8]  # a prefix that none of the first names has is none
        for name in tensors
        if name.endswith(own) and name.rpartition(".")[2] in ends
    }
    return ["", *sorted(strip for strip in likely if strip.endswith("."))]


def _n_matched(tensors: Tensors, strip: str, wanted: Tensors) -> int:
    return sum(
        strip + name in tensors and tensors[strip + name].shape == tensor.shape for name, tensor in wanted.items()
    )


def _head_of(inside: Tensors, wanted: Tensors) -> str:
    """The head that ``inside`` holds beside the encoder: names that the encoder has not, under a usual name."""
    first = {name.partition(".")[0] for name in inside if name not in wanted}
    heads = [name for name in HEADS if name in first and not any(own.startswith(f"{name}.") for own in wanted)]
    return heads[0] if len(heads) == 1 else ""


def _keys_of(content: object) -> str:
    if not isinstance(content, Mapping) or not content:
        return ""
    return f"; the file has {', '.join(map(str, list(content)[:6]))}"
