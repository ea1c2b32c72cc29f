"""What it costs that Optuna's study follows: by trial, with few and with many trials there.

    python benchmarks/mirror.py --trials 10000

Each figure is of 200 slots, on the wall and on the processor of the one process that mirrors, without Postgres' own.
A fresh managed server; every trial has five params and, where it is finished, twenty epochs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from store_load import PARAMS, SPACE, STUDY, outcome, plan

from ablate.outcome import Progress
from ablate.store.postgres_server import Server
from ablate.store.slot import AgentCard, Claim
from ablate.store.store import Store

N = 200
AGENT = AgentCard(id="mirror", host="here", pid=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="in the study before the second measurement")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ablate-mirror-") as folder:
        Path(folder).chmod(0o755)
        server = Server(Path(folder) / "postgres")
        store = Store(server.ensure_running())
        try:
            store.create_schema()
            store.register(STUDY, {"question": "how fast?"}, "digest", plan(given.trials + 4 * N), space=SPACE)
            store.mirror(STUDY)
            measure(store)
            fill_up(store, given.trials)
            measure(store)
        finally:
            store.disconnect()
            server.stop()


def measure(store: Store) -> None:
    n_before = sum(slot.attempts > 0 for slot in store.slots(STUDY))
    claims = begin(store, N)
    print(f"with {n_before} trials in the study")
    timed("a running trial appears", lambda: store.mirror(STUDY))
    for claim in claims:
        store.renew(claim, Progress(stage="finetune", epoch=1, n_epochs=20, val_auroc=0.8))
    timed("its latest score is shown", lambda: store.mirror(STUDY))
    for claim in claims:
        store.finish(claim, outcome(claim.slot.index))
    timed("it ends, with its curve", lambda: store.mirror(STUDY))
    for claim in begin(store, N):
        store.finish(claim, outcome(claim.slot.index))
    timed("a trial appears when it has ended", lambda: store.mirror(STUDY))


def begin(store: Store, n: int) -> list[Claim]:
    claims = [claim for _ in range(n) if (claim := store.claim(STUDY, AGENT, lease_s=3600)) is not None]
    for claim in claims:
        store.set_params(claim, PARAMS)
    return claims


def fill_up(store: Store, n_trials: int) -> None:
    """Finish slots without a curve until there are so many trials."""
    while (n_begun := sum(slot.attempts > 0 for slot in store.slots(STUDY))) < n_trials:
        for claim in begin(store, min(500, n_trials - n_begun)):
            store.finish(claim, outcome(claim.slot.index, n_epochs=0))
        store.mirror(STUDY)


def timed(what: str, work: Callable[[], object]) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall_ms, processor_ms = (1e3 * (time.perf_counter() - wall) / N, 1e3 * (time.process_time() - processor) / N)
    print(f"{what:>36}: {wall_ms:6.1f} ms, {processor_ms:5.1f} ms of the processor")


if __name__ == "__main__":
    main()
