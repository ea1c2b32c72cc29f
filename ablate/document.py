"""Nested tables of plain values, as study files and answers for programs are: their keys, and what JSON lacks."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

_DOMAIN = frozenset({"low", "choices"})  # a table with one of these keys is one value: what a hyper-parameter may be


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values below ``document``; a domain and an empty table are values."""
    for key, value in document.items():
        if isinstance(value, Mapping) and value and not _DOMAIN & set(value):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def finite(value: Any) -> Any:
    """``value`` with null for numbers that are not finite, since JSON has no word for them; keys become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
