"""Preparing PTB-XL against loops over wfdb.rdrecord that only read: python benchmarks/prepare.py DIR [--repeats 3].

The loops keep float32 in memory and neither check, scale nor write; ``ablate`` does all of that. The page cache is
warm: everything is read once before. Repeats are interleaved; the figures are medians of the wall time.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ablate.ecg.preparation import prepare
from ablate.ecg.ptbxl import PtbXl


def read_by_wfdb(stems: list[str]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb  # noqa: PLC0415  (each process pays for its own)

        signals = [wfdb.rdrecord(stem).p_signal.astype(np.float32) for stem in stems]
    return sum(signal.nbytes for signal in signals)


def loop(stems: list[str]) -> None:
    read_by_wfdb(stems)


def loop_in_processes(stems: list[str], n_processes: int) -> None:
    chunks = [stems[at : at + 128] for at in range(0, len(stems), 128)]
    with ProcessPoolExecutor(n_processes, get_context("forkserver")) as pool:
        assert sum(pool.map(read_by_wfdb, chunks)) > 0


def prepared(folder: Path, n_processes: int, preprocessing: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        prepare(PtbXl(folder), cache_dir=Path(scratch), n_processes=n_processes, preprocessing=preprocessing)


def part_of(folder: Path, n_records: int, scratch: Path) -> Path:
    """A PTB-XL with the first records only: the table cut, the folders of records linked."""
    lines = (folder / "ptbxl_database.csv").read_text().splitlines(keepends=True)
    (scratch / "ptbxl_database.csv").write_text("".join(lines[: n_records + 1]))
    shutil.copy(folder / "scp_statements.csv", scratch)
    (scratch / "records100").mkdir()
    for name in {line.split("records100/")[1][:5] for line in lines[1 : n_records + 1]}:
        (scratch / "records100" / name).symlink_to(folder / "records100" / name)
    return scratch


def seconds(call: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def second_start(folder: Path, n_processes: int) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        prepare(PtbXl(folder), cache_dir=Path(scratch), n_processes=n_processes)
        return seconds(lambda: prepare(PtbXl(folder), cache_dir=Path(scratch)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--filters", action="store_true", help="also time preprocessing ecgfounder")
    parser.add_argument("--records", type=int, help="only the first so many, each on one line of the table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = part_of(given.folder, given.records, Path(scratch)) if given.records else given.folder
        print(json.dumps(compare(folder, given), indent=1))


def compare(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    source = PtbXl(folder)
    stems = [str(folder / stem) for stem in source._stems[100].values()]
    n = given.processes
    ways = {
        "wfdb loop, 1 process": lambda: loop(stems),
        f"wfdb loop, {n} processes": lambda: loop_in_processes(stems, n),
        "ablate, 1 process": lambda: prepared(folder, 1, "none"),
        f"ablate, {n} processes": lambda: prepared(folder, n, "none"),
    }
    if given.filters:
        ways[f"ablate, {n} processes, ecgfounder filters"] = lambda: prepared(folder, n, "ecgfounder")
    prepared(folder, n, "none")
    times = {name: [] for name in ways}
    for _ in range(given.repeats):
        for name, way in ways.items():
            times[name].append(seconds(way))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ours = medians[f"ablate, {n} processes"]
    return {
        "records": len(stems),
        "seconds": {name: round(value, 2) for name, value in medians.items()},
        "ratio_over_wfdb_1": round(medians["wfdb loop, 1 process"] / ours, 2),
        f"ratio_over_wfdb_{n}": round(medians[f"wfdb loop, {n} processes"] / ours, 2),
        "second_start_s": round(second_start(folder, n), 3),
    }


if __name__ == "__main__":
    main()
