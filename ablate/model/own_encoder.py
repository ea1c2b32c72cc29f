"""Encoders that users write: from an entry point of their package, or from a file of their own.

Their code runs as the user's own code does; checkpoints never do.
"""

import importlib.metadata
import types
from collections.abc import Callable
from typing import Any

from torch import nn

from ablate import digest
from ablate.errors import SpecError
from ablate.model import catalogue
from ablate.model.catalogue import SourceFile
from ablate.model.encoder_role import Encoder

_modules: dict[tuple[str, str], types.ModuleType] = {}  # by file and digest of its text: an edited file is read again


def own_encoder(name: str) -> Encoder:
    """The encoder that the function behind ``name`` makes, with fresh weights from torch's global generator.

    Raises:
        SpecError: the code cannot be loaded or run, or what it gives is no encoder.
    """
    make = _function_of(name)
    try:
        encoder = make()
    except Exception as error:  # somebody else's code may raise anything
        raise SpecError(f"encoder.name = {name!r}: making it failed, {_short(error)}; mend its code") from error
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
    source = catalogue.source_of(name)
    if source is not None:
        return _from_file(name, source)
    (point, *_) = importlib.metadata.entry_points(group=catalogue.ENTRY_POINTS, name=name)
    try:
        function = point.load()
    except Exception as error:
        raise SpecError(
            f"encoder.name = {name!r}: {point.value} cannot be loaded, {_short(error)}; mend or remove its package"
        ) from error
    return _callable(name, function)


def _from_file(name: str, source: SourceFile) -> Callable[[], Any]:
    try:
        text = source.file.read_bytes()
    except OSError as error:
        raise SpecError(f"encoder.name = {name!r}: {source.file} cannot be read ({error.strerror})") from error
    key = (str(source.file.resolve()), digest.of_bytes(text))
    if key not in _modules:
        module = types.ModuleType(source.file.stem)
        module.__file__ = key[0]
        try:
            exec(compile(text, key[0], "exec"), module.__dict__)  # noqa: S102 - the user's own code, named by the user
        except Exception as error:
            raise SpecError(f"encoder.name = {name!r}: {source.file} fails, {_short(error)}; mend it") from error
        _modules[key] = module
    function = getattr(_modules[key], source.function, None)
    if function is None:
        raise SpecError(f"encoder.name = {name!r}: {source.file} has no {source.function}; expected FILE.py:FUNCTION")
    return _callable(name, function)


def _callable(name: str, function: Any) -> Callable[[], Any]:
    if not callable(function):
        raise SpecError(f"encoder.name = {name!r}: names a {type(function).__name__}; expected a function")
    made: Callable[[], Any] = function
    return made


def _short(error: Exception) -> str:
    """What went wrong, in one line."""
    said = " ".join(str(error).split())[:160]
    line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{line}"
