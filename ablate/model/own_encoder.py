"""Encoders that users write: from an entry point of their package, or from a file of their own.

Their code runs as the user's own code does; checkpoints never do.
"""

import importlib.metadata
from collections.abc import Callable
from typing import Any

from torch import nn

from ablate.errors import SpecError
from ablate.model import catalogue
from ablate.model.encoder_role import Encoder
from ablate.own_code import UnusableCode, checked_function, function_in, in_short, source_of


def own_encoder(name: str) -> Encoder:
    """The encoder that the function behind ``name`` makes, with fresh weights from torch's global generator.

    Raises:
        SpecError: the code cannot be loaded or run, or what it gives is no encoder.
    """
    try:
        make = _function_of(name)
    except UnusableCode as error:
        raise SpecError(f"encoder.name = {name!r}: {error}") from error
    try:
        encoder = make()
    except Exception as error:  # somebody else's code may raise anything
        raise SpecError(f"encoder.name = {name!r}: making it failed, {in_short(error)}; mend its code") from error
    lacking = [part for part in _PARTS if not hasattr(encoder, part)]
    if not isinstance(encoder, nn.Module) or lacking or not isinstance(encoder, Encoder):
        what = f"has no {', '.join(lacking)}" if lacking else f"is a {type(encoder).__name__}"
        raise SpecError(
            f"encoder.name = {name!r}: gives no encoder, what it makes {what}; expected a torch module with "
            f"{', '.join(_PARTS)}, see docs/own_data.md"
        )
    return encoder


_PARTS = ("n_features", "fs_hz", "n_leads", "n_samples", "stages", "drop_path_layers")


def _function_of(name: str) -> Callable[[], Any]:
    source = source_of(name)
    if source is not None:
        return function_in(source)
    (point, *_) = importlib.metadata.entry_points(group=catalogue.ENTRY_POINTS, name=name)
    try:
        function = point.load()
    except Exception as error:
        raise UnusableCode(f"{point.value} cannot be loaded, {in_short(error)}; mend or remove its package") from error
    return checked_function(function)
