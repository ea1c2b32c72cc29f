"""Features of the frozen encoder on disk: computed once for each encoder and cohort, shared by a machine's trials."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import Timeout

from ablate import atomic, digest
from ablate.errors import DataError
from ablate.train.feature_extraction import Features

VERSION = 2  # of the files; others are built again
WAIT_S = 2.0  # between two signs of life while another process builds


@dataclass(frozen=True)
class FeatureCache:
    """Features on disk, one folder for each identity, mapped read-only into every process.

    Attributes:
        folder: shared by the trials of one machine; made when needed.
    """

    folder: Path

    def load(
        self,
        identity: Mapping[str, digest.Json],
        build: Callable[[], Features],
        *,
        is_right: Callable[[Features], bool],
        wait: Callable[[], None],
        note: Callable[[str], None],
    ) -> Features:
        """The features of ``identity``, built by whoever needs them first.

        Files of another version or identity, cut short or changed are built again.

        Args:
            identity: all that decides the features.
            build: makes them, when they are not there.
            is_right: looks at features from a file, once for each file and process.
            wait: called now and then while another process builds.
            note: told why they could not be written; they are returned all the same.

        Raises:
            DataError: the folder cannot be used at all; nothing was built.
        """
        target = self.folder / digest.of_json(identity)[:24]
        features = _mapped(target, identity, is_right)
        if features is not None:
            return features
        with _locked(target, wait):
            features = _mapped(target, identity, is_right)
            if features is None:
                features = build()
                try:
                    _write(target, identity, features)
                except (DataError, OSError) as error:
                    note(f"features could not be kept for other trials: {error}")
        return features


_intact: set[tuple[str, int, int]] = set()  # files whose content this process has looked at


def _mapped(target: Path, identity: Mapping[str, digest.Json], is_right: Callable[[Features], bool]) -> Features | None:
    """The features in ``target`` if they are whole and those of ``identity``."""
    file = target / "features.npy"
    try:
        about = json.loads((target / "meta.json").read_text())
        stat = file.stat()
        if about["version"] != VERSION or about["identity"] != json.loads(digest.canonical_json(identity)):
            return None
        seen = (str(file), stat.st_size, stat.st_mtime_ns)
        if seen not in _intact and digest.of_file(file) != about["sha256"]:
            return None
        features: Features = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if seen not in _intact and not is_right(features):
        return None
    _intact.add(seen)
    return features


def _write(target: Path, identity: Mapping[str, digest.Json], features: Features) -> None:
    with atomic.folder(target) as scratch:
        np.save(scratch / "features.npy", np.ascontiguousarray(features, dtype=np.float32))
        about = {"version": VERSION, "identity": identity, "sha256": digest.of_file(scratch / "features.npy")}
        (scratch / "meta.json").write_text(json.dumps(about, indent=1))


@contextlib.contextmanager
def _locked(target: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of ``target``.

    Raises:
        DataError: the folder is missing and cannot be made, or cannot be written.
    """
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(atomic.lock(target, timeout_s=WAIT_S))
                break
            except Timeout:
                wait()
            except OSError as error:
                raise DataError(f"{target.parent}: cannot be locked ({error.strerror or error})") from error
        yield
