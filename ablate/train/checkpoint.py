"""Trial checkpoints: where a trial stood after its last finished epoch, to go on from there with the same bits.

A file is a SHA-256 of the rest, then safetensors: it holds numbers and JSON and cannot run code. Random states are not
in it, because every stream is drawn anew for each epoch from (seed, purpose, epoch).
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ablate import atomic
from ablate.errors import DataError

SELDOM_S = 1.0  # probe epochs take milliseconds; writing after each would take longer than they do
_HASH_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a checkpoint holds: tensors by name, and facts as plain JSON values."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)


@dataclass
class Checkpoint:
    """The checkpoint of one trial.

    Attributes:
        path: of the file, or None to keep none.
        identity: digest of all that decides the trial's bits; a file with another one is not used.
        notes: told with the outcome, in sentences.
    """

    path: Path | None
    identity: str
    notes: list[str]
    written_at: float = field(default_factory=time.monotonic)

    def load(self) -> Saved | None:
        """Where the trial stood, or None to start from the beginning: no file, a damaged one, or another trial's."""
        if self.path is None:
            return None
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._refuse(f"cannot be read ({error.strerror})")
            return None
        saved = _parsed(content)
        if saved is None:
            self._refuse("is damaged")
        elif saved.facts.get("identity") != self.identity:
            self._refuse("belongs to other params, data, encoder, seed, device or code")
            return None
        return saved

    def is_due(self, *, often: bool) -> bool:
        """Whether to write now: ``often`` after every epoch, else only when the last time is a while ago."""
        return self.path is not None and (often or time.monotonic() - self.written_at >= SELDOM_S)

    def write(self, saved: Saved) -> None:
        """Replace the file. A disk that is full or away does not stop the trial; it is noted."""
        if self.path is None:
            return
        about = {"ablate": json.dumps(saved.facts | {"identity": self.identity})}
        content = safetensors.torch.save(saved.tensors, metadata=about)
        try:
            atomic.write_bytes(self.path, hashlib.sha256(content).digest() + content, mode=0o600)
        except (DataError, OSError) as error:
            self._note(f"no checkpoint could be written: {error}")
        self.written_at = time.monotonic()

    def _refuse(self, why: str) -> None:
        self._note(f"checkpoint {self.path} {why}; trained from the beginning")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _parsed(content: bytes) -> Saved | None:
    whole, rest = content[:_HASH_BYTES], content[_HASH_BYTES:]
    if hashlib.sha256(rest).digest() != whole:
        return None
    try:
        n_header = int.from_bytes(rest[:8], "little")
        facts = json.loads(json.loads(rest[8 : 8 + n_header])["__metadata__"]["ablate"])
        return Saved(facts=facts, tensors=safetensors.torch.load(rest))
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None
