"""How long Ctrl-C takes: until it is said that it was heard, until every agent is gone, and what `status` says then.

    python benchmarks/interrupt.py --tries 20 --load 4

Each try starts ``ablate run`` on the same study, waits until all its agents train, and sends SIGINT to the terminal's
whole process group at a random moment, as a terminal does. The times are of the signal; an agent is gone when its
process is, and retired when the store says so. ``--load`` processes keep the cores busy meanwhile.
"""

import argparse
import json
import os
import queue
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ablate.cli.progress import STOPPING
from ablate.store.postgres_server import Server
from ablate.store.store import Store

STUDY = """
question = "How long does Ctrl-C take?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 600, seed = 3}
encoder = {name = "net1d_small", weights = "random"}
fixed = {ft_epochs = 500, batch_size = 64}
context = {data_fraction = [1.0]}
budget = {search_trials = 8, replicates = 2, generation = 8}
[space]
ft_lr = {low = 1e-4, high = 3e-3, log = true}
[arms.ft]
"""
COLUMNS = {"message_s": "message", "gone_s": "all agents gone", "retired_s": "all retired", "ended_s": "command ended"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--load", type=int, default=4, help="processes that keep the cores busy")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts with "&" ignore Ctrl-C
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="ablate-interrupt-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "ctrl_c.toml").write_text(STUDY)
        os.environ.update(ABLATE_HOME=str(folder / "home"), OMP_NUM_THREADS="1")
        store = Store(Server(folder / "home" / "postgres").ensure_running())
        store.create_schema()
        try:
            with busy_cores(given.load):
                rows = [attempt(folder, store, given.workers, rng) for _ in range(given.tries)]
        finally:
            store.disconnect()
            Server(folder / "home" / "postgres").stop()
    show(rows)


@contextmanager
def busy_cores(n: int) -> Iterator[None]:
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def attempt(folder: Path, store: Store, n_workers: int, rng: random.Random) -> dict[str, float]:
    """One try; its times in seconds since the signal, and how many agents `ablate status` and /proc know afterwards."""
    command = [sys.executable, "-m", "ablate", "run", "ctrl_c.toml", "--workers", str(n_workers)]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)  # fmt: skip
    lines: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
    assert running.stderr is not None
    listener = threading.Thread(target=lambda: [lines.put((time.monotonic(), line)) for line in running.stderr or ()])
    listener.start()
    while n_training(store) < n_workers:
        if running.poll() is not None:
            listener.join()
            raise SystemExit("the study ended by itself: " + "".join(lines.get()[1] for _ in range(lines.qsize())))
        time.sleep(0.05)
    agents = [psutil.Process(row.pid) for row in store.agents("ctrl_c") if row.is_at_work]
    time.sleep(rng.uniform(0, 2))
    sent_at = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)
    times: dict[str, float] = {}
    while "retired_s" not in times or "gone_s" not in times:
        if not any(agent.is_running() and agent.status() != psutil.STATUS_ZOMBIE for agent in agents):
            times.setdefault("gone_s", time.monotonic() - sent_at)
        if not any(row.is_at_work for row in store.agents("ctrl_c")):
            times.setdefault("retired_s", time.monotonic() - sent_at)
        time.sleep(0.01)
    running.wait()
    times["ended_s"] = time.monotonic() - sent_at
    listener.join()
    while not lines.empty():
        said_at, line = lines.get()
        if STOPPING in line:
            times.setdefault("message_s", said_at - sent_at)
    row = times | {"at_work": at_work(folder), "exit": running.returncode}
    print(row, file=sys.stderr)
    return row


def n_training(store: Store) -> int:
    if "ctrl_c" not in store.studies():
        return 0
    rows = [row for row in store.agents("ctrl_c") if row.is_at_work and row.progress is not None]
    return sum(row.progress is not None and row.progress.stage == "finetune" for row in rows)


def at_work(folder: Path) -> int:
    command = [sys.executable, "-m", "ablate", "status", "ctrl_c", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return len(json.loads(done.stdout)["agents"])


def show(rows: list[dict[str, float]]) -> None:
    print("| seconds after Ctrl-C | median | worst |\n|---|---|---|")
    for key, title in COLUMNS.items():
        values = [row[key] for row in rows if key in row]
        said = "" if len(values) == len(rows) else f" (in {len(values)} of {len(rows)} tries)"
        print(f"| {title}{said} | {statistics.median(values):.3f} | {max(values):.3f} |")
    print(
        f"\nagents at work by `ablate status`: {sum(row['at_work'] for row in rows):.0f} in {len(rows)} tries; ", end=""
    )
    print(f"exit statuses: {sorted({int(row['exit']) for row in rows})}; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
