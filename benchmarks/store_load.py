"""How many slots a second the store fills: agents that claim, set params, renew and tell at once, without any training.

    python benchmarks/store_load.py --clients 16 --slots 1000 --json

Each client is a process of its own with its own connection, as an agent is. Statements are counted where they are sent,
commits where they arrive (pg_stat_database), both over everything that happens between the first claim and the end:
polling, reconciliation and Optuna's trials included.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import random
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from ablate.errors import AblateError
from ablate.outcome import Outcome, Progress, Stage
from ablate.store.database import Database, to_json
from ablate.store.postgres_server import Server
from ablate.store.result import columns_of
from ablate.store.slot import AgentCard, Claim, PlannedSlot
from ablate.store.store import Store
from ablate.study.space import parse_domain

STUDY = "load"
RECONCILE_S = 10.0
STAGES: tuple[Stage, ...] = ("probe", "finetune")
PARAMS = {"drop_path_rate": 0.3, "probe_epochs": 20, "ft_lr": 3e-4, "head_lr_ratio": 10.0, "layer_decay": 0.9}
SPACE = {
    name: parse_domain(name, {"low": low, "high": high, "log": name.endswith(("lr", "ratio"))})
    for name, low, high in (
        ("drop_path_rate", 0.0, 0.6),
        ("probe_epochs", 0, 50),
        ("ft_lr", 1e-5, 3e-3),
        ("head_lr_ratio", 1.0, 100.0),
        ("layer_decay", 0.65, 1.0),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--finished", type=int, default=0, help="slots that are done before the clock starts")
    parser.add_argument("--storage", help="a database without studies; by default a fresh managed one")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ablate-load-") as folder:
        Path(folder).chmod(0o755)
        server = None if given.storage else Server(Path(folder) / "postgres")
        try:
            url = given.storage or server.ensure_running()
            figures = measure(url, n_clients=given.clients, n_slots=given.slots, n_finished=given.finished)
        finally:
            if server is not None:
                server.stop()
    if given.as_json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:>24} {value}")


def measure(url: str, *, n_clients: int, n_slots: int, n_finished: int) -> dict[str, Any]:
    store = Store(url)
    store.create_schema()
    store.register(STUDY, {"question": "how fast?"}, "digest", plan(n_finished + n_slots), space=SPACE)
    fill(store, n_finished)
    before = n_commits(store.database)
    store.disconnect()
    context = multiprocessing.get_context("fork")
    told: Queue[dict[str, Any]] = context.Queue()
    barrier = context.Barrier(n_clients + 1)
    clients = [context.Process(target=client, args=(url, number, barrier, told)) for number in range(n_clients)]
    for process in clients:
        process.start()
    barrier.wait()
    reports = [told.get() for _ in clients]
    wall_s = max(report["ended"] for report in reports) - min(report["started"] for report in reports)
    for process in clients:
        process.join()
    return summary(store, reports, wall_s=wall_s, commits=n_commits(store.database) - before, n_slots=n_slots)


def summary(store: Store, reports: list[Any], *, wall_s: float, commits: int, n_slots: int) -> dict[str, Any]:
    claims = np.array([second for report in reports for second in report["claim_s"]])
    n_filled = store.counts(STUDY).total() - store.counts(STUDY).unfinished()
    started = time.perf_counter()
    n_mirrored = store.mirror(STUDY, within_s=10)
    mirror_s = time.perf_counter() - started
    started = time.perf_counter()
    store.tables(STUDY)
    return {
        "clients": len(reports),
        "slots": n_slots,
        "filled_once": n_filled == store.counts(STUDY).total(),
        "wall_s": round(wall_s, 2),
        "slots_per_s": round(n_slots / wall_s, 1),
        "claim_p50_s": round(float(np.quantile(claims, 0.5)), 4),
        "claim_p95_s": round(float(np.quantile(claims, 0.95)), 4),
        "claim_max_s": round(float(claims.max()), 4),
        "statements_per_slot": round(sum(report["n_statements"] for report in reports) / n_slots, 2),
        "commits_per_slot": round(commits / n_slots, 2),
        "client_cpu_s_per_slot": round(sum(report["cpu_s"] for report in reports) / n_slots, 5),
        "last_mirror_slots": n_mirrored,
        "last_mirror_s": round(mirror_s, 3),
        "tables_s": round(time.perf_counter() - started, 3),
        "errors": sum(report["n_errors"] for report in reports),
    }


def plan(n_slots: int) -> list[PlannedSlot]:
    arms = ("ft", "sd", "lp", "lp_sd")
    return [
        PlannedSlot(
            key=f"search/{arms[i % 4]}/data_fraction=0.1/{i // 4}", phase="search", arm=arms[i % 4],
            context={"data_fraction": 0.1}, index=i // 4, seed=i, chain=arms[i % 4], priority=i // 4,
        )
        for i in range(n_slots)
    ]  # fmt: skip


def client(url: str, number: int, barrier: Any, told: "Queue[dict[str, Any]]") -> None:
    store = Store(url, patience_s=60)
    engine = store.database._engine
    count = {"n_statements": 0}
    sa.event.listen(engine, "before_cursor_execute", lambda *_: count.update(n_statements=count["n_statements"] + 1))
    agent = AgentCard(id=f"load-{number}", host="load", pid=number)
    report: dict[str, Any] = {"claim_s": [], "n_errors": 0}
    barrier.wait()
    cpu_started, report["started"] = time.process_time(), time.perf_counter()  # one clock for all processes
    work(store, agent, report)
    report |= {"ended": time.perf_counter(), "cpu_s": time.process_time() - cpu_started, **count}
    told.put(report)


def work(store: Store, agent: AgentCard, report: dict[str, Any]) -> None:
    reconcile_at = time.monotonic() + random.uniform(0, RECONCILE_S)
    pause_s = 0.05
    while True:
        try:
            started = time.perf_counter()
            claim = store.claim(STUDY, agent)
            report["claim_s"].append(time.perf_counter() - started)
            if claim is not None:
                tell(store, claim)
                pause_s = 0.05
            elif store.counts(STUDY).unfinished() == 0:
                return
            else:
                time.sleep(random.uniform(0, pause_s))
                pause_s = min(2 * pause_s, 2.0)
            if time.monotonic() >= reconcile_at:
                reconcile_at += RECONCILE_S
                store.reconcile(STUDY)
        except AblateError:
            report["n_errors"] += 1


def tell(store: Store, claim: Claim) -> None:
    store.set_params(claim, PARAMS)
    store.renew(claim, Progress(stage="finetune", epoch=1, n_epochs=20, val_auroc=0.8))
    store.finish(claim, outcome(claim.slot.index))


def outcome(index: int, *, n_epochs: int = 20) -> Outcome:
    score = 0.8 + 0.1 * math.sin(index)
    return Outcome(
        scores={"val_auroc": score, "val_auprc": score / 2, "val_auroc_last": score, "val_auprc_last": score / 3},
        best_epoch=17, n_train=1742, peak_memory_bytes=10**9,
        epochs=tuple(progress(stage, epoch, score) for stage in STAGES for epoch in range(1, n_epochs + 1)),
        class_scores={"val": {f"class {i}": (score, score / 2) for i in range(23)}},
        seconds={"features": 1.0, "probe": 2.0, "finetune": 30.0},
        digests={"data": "d" * 64, "encoder": "e" * 64, "code": "c" * 40, "environment": "v" * 64},
        val_probabilities=np.random.default_rng(index).random((44, 23), dtype=np.float32),  # some 4 kB
    )  # fmt: skip


def progress(stage: Stage, epoch: int, score: float) -> Progress:
    auroc, auprc = score - 1 / (epoch + 10), score / (epoch + 1)
    return Progress(
        stage=stage, epoch=epoch, n_epochs=20, val_auroc=auroc, val_auprc=auprc, train_loss=0.3, seconds=1.5
    )


def fill(store: Store, n_slots: int) -> None:
    """Finish the first slots at once, as if they had been told one by one."""
    if n_slots == 0:
        return
    columns = {name: to_json(value) for name, value in columns_of(outcome(0)).items()}
    database = store.database
    database.rows(
        "UPDATE ablate_slot SET state = 'done', token = 1, params = CAST(:params AS json) WHERE ordinal < :n",
        n=n_slots, params=to_json(PARAMS),
    )  # fmt: skip
    database.rows(
        """
        INSERT INTO ablate_attempt (slot_id, token, nonce, agent_id, host, device, ended_at, outcome)
        SELECT id, 1, 'filler-' || id, 'filler', 'load', 'cpu', now(), 'done' FROM ablate_slot WHERE state = 'done'
        """
    )
    database.rows(
        """
        INSERT INTO ablate_result (slot_id, token, scores, epochs, class_scores, seconds, digests, facts)
        SELECT id, 1, CAST(:scores AS json), CAST(:epochs AS json), CAST(:class_scores AS json), CAST(:seconds AS json),
               CAST(:digests AS json), CAST(:facts AS json)
        FROM ablate_slot WHERE state = 'done'
        """,
        **columns,
    )
    with contextlib.suppress(AblateError):
        database.rows("ANALYZE")


def n_commits(database: Database) -> int:
    time.sleep(1.5)  # the server counts at the end of a connection, or once a second
    statement = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    commits: int = database.rows(statement)[0].xact_commit
    return commits


if __name__ == "__main__":
    main()
