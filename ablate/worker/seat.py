"""Seats: numbers for the agents that share a GPU, whichever launcher, engine or user's command has started them.

A seat is a locked file in this machine's folder for temporary files, named by the GPU. The kernel frees it when the
agent ends, however it ends.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def seat_at(gpu_id: str, *, folder: Path | None = None) -> Iterator[int]:
    """The lowest seat that is free at a GPU, held while inside; 0 where there is no GPU, or no folder to lock in.

    Args:
        gpu_id: what tells the GPU from all others.
        folder: that all agents of this machine see.
    """
    if not gpu_id:
        yield 0
        return
    folder = folder or Path(tempfile.gettempdir()) / f"ablate-seats-{os.getuid()}"
    name = re.sub(r"[^\w-]", "_", gpu_id)
    for number in count():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(folder / f"{name}-{number}", timeout=0)
            lock.acquire()
        except Timeout:
            continue
        except OSError:  # the disk is full or may not be written: agents cannot make room for each other
            yield 0
            return
        try:
            yield number
        finally:
            lock.release()
        return
