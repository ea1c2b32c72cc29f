"""A token file tells whether a folder is one and the same on several machines, or only has the same name."""

import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from ablate import atomic
from ablate.errors import LaunchError

_NAME = ".ablate-token"
_PATIENCE_S = 3.0  # network file systems show a new file a little later
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Token:
    """What a folder must hold to be the one that was meant."""

    folder: Path
    value: str

    @classmethod
    def of(cls, folder: Path) -> "Token":
        """The folder's token, which is put there unless it has one.

        Raises:
            DataError: the folder cannot be written.
        """
        path = folder / _NAME
        with atomic.lock(path):
            if not path.exists():
                atomic.write_text(path, uuid.uuid4().hex)
            return cls(folder, path.read_text())

    def is_here(self, *, patience_s: float = _PATIENCE_S) -> bool:
        """Whether this machine sees the same folder."""
        until = time.monotonic() + patience_s
        while not (is_read := self._is_read()) and time.monotonic() < until:
            time.sleep(_PAUSE_S)
        return is_read

    def require(self, host: str) -> None:
        """See that this machine, which is ``host``, has the same folder.

        Raises:
            LaunchError: it has not.
        """
        if not self.is_here():
            raise LaunchError(self.missing(host))

    def missing(self, host: str) -> str:
        """The error's line."""
        return (
            f"--shared-dir {self.folder}: {host} does not see the folder of this name that the launcher wrote to; "
            "give one on a file system that all machines share, or leave it out and each prepares its own"
        )

    def _is_read(self) -> bool:
        try:
            return (self.folder / _NAME).read_text() == self.value
        except OSError:
            return False
