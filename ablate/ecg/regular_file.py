"""Files that somebody else wrote: only regular ones of a plausible size are read, so none can hang or fill memory."""

import os
import stat
from pathlib import Path

from ablate.errors import DataError


def read_regular(path: Path, *, most_bytes: int, remedy: str) -> bytes:
    """Content of ``path``.

    Args:
        path: of the file; links are followed.
        most_bytes: a larger file is refused before it is read.
        remedy: what to do where it cannot be read, as the end of the message.

    Raises:
        DataError: the file is missing or unreadable, is a pipe, device or folder, or is too large.
    """
    try:
        # Without blocking: to open a pipe that nobody writes to would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            _check(path, status, most_bytes, remedy)
            return file.read(most_bytes + 1)[:most_bytes]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:  # a name that comes from a file may hold a zero byte
        raise DataError(f"{str(path)!r}: is no name of a file ({error}); {remedy}") from error


def check_regular(path: Path, *, most_bytes: int, remedy: str) -> None:
    """See that ``read_regular`` would read ``path``, for a library that opens it by itself.

    Raises:
        DataError: as ``read_regular``, unreadable files apart.
    """
    try:
        _check(path, path.stat(), most_bytes, remedy)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:  # a name that comes from a file may hold a zero byte
        raise DataError(f"{str(path)!r}: is no name of a file ({error}); {remedy}") from error


def _check(path: Path, status: os.stat_result, most_bytes: int, remedy: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: is no regular file; expected one, no pipe, device or folder; {remedy}")
    if status.st_size > most_bytes:
        raise DataError(f"{path}: has {status.st_size} bytes; expected at most {most_bytes}; {remedy}")
