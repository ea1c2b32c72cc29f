"""Digests: what tells one version of data, weights, code or settings from another."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = Mapping[str, Any] | Sequence[Any] | str | int | float | bool | None

SHORT = 12  # characters shown to people


def of_bytes(content: bytes) -> str:
    """SHA-256 of ``content``, 64 hexadecimal characters."""
    return hashlib.sha256(content).hexdigest()


def of_json(value: Json) -> str:
    """SHA-256 of ``value`` in canonical JSON: keys sorted, no blanks, floats by their shortest form."""
    return of_bytes(canonical_json(value).encode())


def canonical_json(value: Json) -> str:
    """One text for equal values.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def of_file(path: Path) -> str:
    """SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
