"""Files appear whole or not at all, and one process at a time builds a shared one."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ablate.errors import DataError


@contextlib.contextmanager
def folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside ``target`` that becomes ``target`` when the block ends well, and vanishes otherwise.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with disk_errors(target):
            yield scratch
            scratch.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_bytes(target: Path, *parts: bytes, mode: int = 0o644) -> None:
    """Write ``parts`` in one so that ``target`` holds the old or the new content at every moment, also after a crash.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(scratch, mode)
            _give_to_owner_of_folder(Path(scratch))
            os.replace(scratch, target)
        except BaseException:
            os.unlink(scratch)
            raise


def write_text(target: Path, content: str, *, mode: int = 0o644) -> None:
    """``write_bytes`` for text in UTF-8."""
    write_bytes(target, content.encode(), mode=mode)


@contextlib.contextmanager
def lock(target: Path, *, timeout_s: float = -1) -> Iterator[None]:
    """Hold the lock ``target.lock`` among the processes of this machine; it frees itself when its holder dies."""
    from filelock import FileLock  # noqa: PLC0415 - a tenth of what a word's completion imports

    path = Path(f"{target}.lock")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        held = FileLock(path, timeout=timeout_s).acquire()
        if is_new:
            _give_to_owner_of_folder(path)
    with held:
        yield


def _give_to_owner_of_folder(path: Path) -> None:
    """What root makes in another account's folder belongs to that account, which could not use it otherwise."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        with contextlib.suppress(PermissionError):  # a file server may not let root do that
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Tell in one line that ``target`` cannot be written.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{target.parent}: no space left to write {target.name}; free some, or set ABLATE_HOME"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DataError(
                f"{target.parent}: cannot write {target.name} ({error.strerror}); change permissions or set ABLATE_HOME"
            ) from error
        raise
