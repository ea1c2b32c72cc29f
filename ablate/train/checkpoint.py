"""Trial checkpoints: where a trial stood after an epoch, to go on from there with the same bits.

A file is a SHA-256 of the rest, then safetensors: it holds numbers and JSON and cannot run code. Random states are not
in it, because every stream is drawn anew for each epoch from (seed, purpose, epoch). The network of the best epoch lies
in a file of its own beside it, written when it changes.

Training does not wait for the disk. The state after each epoch is copied within its device's memory; a thread writes it
when the time since the last writing is so long that writing takes ``SHARE`` of it, or ``LONGEST_S`` if that is shorter,
and the last one is written when the trial is stopped. So a trial that is killed loses at most that time, one writing
and one epoch.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ablate import atomic
from ablate.errors import DataError

SHARE = 0.05  # of the time of training that writing may take
LONGEST_S = 120.0  # between two writings, whatever they cost
ASSUMED_BYTES_PER_S = 150e6  # until one has been timed: 493 MB took 3.2 s
_HASH_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a checkpoint holds.

    Attributes:
        facts: plain JSON values; dataclasses among them are written as such and come back as dictionaries.
        tensors: of the last epoch, by name; as long as they are not written they may lie on the device.
        best_name: names the best epoch among all of the trial, where it is not the last; else empty.
        best_tensors: of that epoch.
    """

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(repr=False)
    best_name: str = ""
    best_tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)


@dataclass
class Checkpoint:
    """The checkpoint of one trial.

    Attributes:
        path: of the file, or None to keep none. Files beside it begin with its name.
        identity: digest of all that decides the trial's bits; a file with another one is not used.
        notes: sentences that become notes of the outcome.
        clock: in seconds.
        write_s: what the last writing took, by the clock.
    """

    path: Path | None
    identity: str
    notes: list[str]
    clock: Callable[[], float] = time.monotonic
    write_s: float | None = None

    def __post_init__(self) -> None:
        self._written_at = self.clock()
        self._pending: Saved | None = None
        self._thread: threading.Thread | None = None
        self._best_written: tuple[str, str] = ("", "")  # name and digest

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
        saved = self._with_best(_parsed(content))
        if saved is None:
            self._refuse("is damaged")
        elif saved.facts.get("identity") != self.identity:
            self._refuse("belongs to other params, data, encoder, seed, device or code")
            return None
        return saved

    def keep(self, saved: Callable[[], Saved]) -> None:
        """Remember what ``saved`` gives, as the state after the last finished epoch; write it where that is due."""
        if self.path is None:
            return
        self._pending = saved()
        is_writing = self._thread is not None and self._thread.is_alive()
        if not is_writing and self.clock() - self._written_at >= self._pause_s(self._pending):
            self.wait()
            self._thread = threading.Thread(target=self._write_pending, name="checkpoint")
            self._thread.start()

    def flush(self) -> None:
        """Write the state after the last finished epoch, unless the file has it."""
        self.wait()
        self._write_pending()

    def wait(self) -> None:
        """Until nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def write(self, saved: Saved) -> None:
        """Replace the file. A disk that is full or away does not stop the trial; it is noted."""
        if self.path is None:
            return
        begun = self.clock()
        try:
            best = self._write_best(self.path, saved)
            about = dict(saved.facts) | {"identity": self.identity, "best": best}
            atomic.write_bytes(self.path, *_packed(saved.tensors, about), mode=0o600)
            self._remove_all_but(self.path, saved.best_name)
        except (DataError, OSError) as error:
            self._note(f"no checkpoint could be written: {error}")
        self._written_at = self.clock()
        self.write_s = self._written_at - begun

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self.write(pending)

    def _pause_s(self, saved: Saved) -> float:
        """Between the end of the last writing and the next one."""
        if self.write_s is None:
            n_bytes = sum(tensor.nbytes for tensor in [*saved.tensors.values(), *saved.best_tensors.values()])
            return min(LONGEST_S, n_bytes / ASSUMED_BYTES_PER_S / SHARE)
        return min(LONGEST_S, self.write_s / SHARE)

    def _write_best(self, path: Path, saved: Saved) -> list[str]:
        """Name and digest of the best epoch's file, which is written unless it is there."""
        if not saved.best_name:
            return []
        if self._best_written[0] != saved.best_name:
            parts = _packed(saved.best_tensors, {"identity": self.identity})
            atomic.write_bytes(_best_file(path, saved.best_name), *parts, mode=0o600)
            self._best_written = (saved.best_name, parts[0].hex())
        return list(self._best_written)

    def _with_best(self, saved: Saved | None) -> Saved | None:
        """``saved`` with the best epoch's tensors from their own file; None where they are not there."""
        if saved is None or self.path is None or not saved.facts.get("best"):
            return saved
        try:
            name, digest = saved.facts["best"]
            content = _best_file(self.path, name).read_bytes()
        except (OSError, ValueError, TypeError):
            return None
        best = _parsed(content)
        if best is None or content[:_HASH_BYTES].hex() != digest:
            return None
        self._best_written = (name, digest)
        return Saved(facts=saved.facts, tensors=saved.tensors, best_name=name, best_tensors=best.tensors)

    def _remove_all_but(self, path: Path, best_name: str) -> None:
        for file in path.parent.glob(f"{_best_file(path, '').name}*"):
            if file != _best_file(path, best_name):
                file.unlink(missing_ok=True)

    def _refuse(self, why: str) -> None:
        self._note(f"checkpoint {self.path} {why}; trained from the beginning")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _best_file(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.best-{name}")


def _packed(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The digest and what it is of; apart, since joining them would take as much memory again."""
    on_host = {name: tensor.cpu() for name, tensor in tensors.items()}
    content = safetensors.torch.save(on_host, metadata={"ablate": json.dumps(about, default=asdict)})
    return hashlib.sha256(content).digest(), content


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
