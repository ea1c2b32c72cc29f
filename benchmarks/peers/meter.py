"""Wall time, processor time and peak memory of a command and of everything it starts.

    python meter.py USE.json -- COMMAND … [-- AFTERWARDS …] …

The meter is made the parent of orphans (Linux' child subreaper), so that daemons, a database's or Ray's, count as well.
The wall time ends with the command. Processor time is user and system of every process that has ended, which all have
by then; or, where it is more, the sum of what was last seen of each process, since Ray's raylet lets the system forget
what its workers took. Memory is the sum of the proportional set sizes (PSS), which counts a shared page once, looked at
every half second. Commands after a further ``--`` look at what came out, the last one stops daemons; their
own time is not counted.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

EVERY_S = 0.5
PATIENCE_S = 30.0  # for daemons to end by themselves
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # of prctl


def descendants(pid: int) -> Iterator[int]:
    """Living processes that stem from ``pid``, itself apart."""
    children = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(folder.name))
    waiting = children[pid]
    while waiting:
        found = waiting.pop()
        waiting += children[found]
        yield found


def pss_bytes(pid: int) -> int:
    """Proportional set size; 0 of a process that has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def seen_cpu(pid: int) -> tuple[str, float]:
    """When a process started, in ticks since boot, and what it has taken so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[19], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at all descendants now and then, in a thread of its own."""

    def __init__(self) -> None:
        self.n_bytes, self._is_over = 0, threading.Event()
        self._cpu_s: dict[tuple[int, str], float] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu_s.values())

    def _look(self) -> None:
        while not self._is_over.wait(EVERY_S):
            pids = list(descendants(os.getpid()))
            self.n_bytes = max(self.n_bytes, sum(map(pss_bytes, pids)))
            for pid in pids:
                with contextlib.suppress(OSError):
                    started, taken_s = seen_cpu(pid)
                    self._cpu_s[pid, started] = taken_s


def cpu_s(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def await_all() -> None:
    """Wait for every descendant; end those that stay."""
    until = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(0.02)
            if time.monotonic() > until:
                end_all()


def end_all() -> None:
    """Kill every descendant."""
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot adopt orphans; Linux 3.4 or later is needed")


def main(target: Path, command: list[str], afterwards: list[list[str]]) -> int:
    prctl(_SUBREAPER, 1)
    prctl(_DEATH_SIGNAL, signal.SIGTERM)  # whoever measures has been killed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    watch, begun_at, begun = Watch(), time.time(), time.perf_counter()
    status = subprocess.run(command, check=False).returncode
    wall_s = time.perf_counter() - begun
    watch.stop()
    uncounted_s = 0.0
    for words in afterwards if status == 0 else afterwards[-1:]:
        helper = subprocess.Popen(words)
        _, code, usage = os.wait4(helper.pid, 0)
        helper.returncode = os.waitstatus_to_exitcode(code)
        uncounted_s += cpu_s(usage)
        status = status or helper.returncode
    await_all()
    spent_s = cpu_s(resource.getrusage(resource.RUSAGE_CHILDREN)) - uncounted_s
    use = {
        "begun_at": begun_at,
        "wall_s": wall_s,
        "cpu_s": max(spent_s, watch.cpu_s),
        "peak_pss_mib": watch.n_bytes / 2**20,
    }
    target.write_text(json.dumps(use))
    return status


if __name__ == "__main__":
    parts: list[list[str]] = [[]]
    for word in sys.argv[1:]:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    (name,), words, *after = parts
    try:
        sys.exit(main(Path(name), words, after))
    finally:
        end_all()  # there is somebody only where we were interrupted
