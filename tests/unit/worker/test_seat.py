"""Seats at a GPU are taken in order and freed by whatever ends their holders."""

import subprocess
import sys
from pathlib import Path
from subprocess import Popen

from ablate.worker.seat import seat_at

HOLD = """
import sys
from pathlib import Path
from ablate.worker.seat import seat_at
with seat_at(sys.argv[2], folder=Path(sys.argv[1])) as number:
    print(number, flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, gpu: str) -> tuple[Popen, int]:
    """A process that has a seat, and its number."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, gpu], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


def end(process: Popen) -> None:
    process.kill()
    process.communicate()


def test_processes_at_one_gpu_have_different_seats_and_a_killed_one_frees_its_own(tmp_path: Path) -> None:
    one, first = holder(tmp_path, "GPU-1")
    two, second = holder(tmp_path, "GPU-1")
    other, alone = holder(tmp_path, "GPU-2")
    try:
        assert (first, second, alone) == (0, 1, 0)
        end(one)
        with seat_at("GPU-1", folder=tmp_path) as number:
            assert number == 0
    finally:
        for process in (one, two, other):
            end(process)


def test_the_processor_and_a_folder_that_cannot_be_written_have_the_first_seat(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for gpu, folder in (("", tmp_path), ("GPU-1", tmp_path / "file")):
        with seat_at(gpu, folder=folder) as number:
            assert number == 0
