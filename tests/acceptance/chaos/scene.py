"""A study on a stage of its own: server, perhaps a pooler, proxy, home folders and what fills the slots."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from plain_postgres import PlainPostgres, free_port, programs
from proxy import Proxy
from sqlalchemy.engine import make_url

from ablate.errors import StoreError
from ablate.store.postgres_server import Server
from ablate.store.slot import SlotState
from ablate.store.store import Store
from chaos.exchange import Exchange
from chaos.pooler import Pooler, is_pooler_here

LEASE_S = 2.0
N_AGENTS = 4
NOBODY = 65534
STUDY = """
question = "Does every slot survive?"
[data]
source = "synthetic"
task = "superdiagnostic"
n_records = 200
seed = 1
[encoder]
name = "net1d_small"
weights = "random"
[fixed]
ft_epochs = 2
batch_size = 32
[space]
probe_epochs = {{ low = 0, high = 4 }}
drop_path_rate = {{ low = 0.0, high = 0.5 }}
[arms.ft]
drop_path_rate = 0.0
probe_epochs = 0
[arms.sd]
probe_epochs = 0
drop_path_rate = {{ low = 0.05, high = 0.5 }}
[arms.lp]
drop_path_rate = 0.0
probe_epochs = {{ low = 1, high = 4 }}
[arms.lp_sd]
drop_path_rate = {{ low = 0.05, high = 0.5 }}
probe_epochs = {{ low = 1, high = 4 }}
[budget]
search_trials = {search_trials}
replicates = {replicates}
generation = 3
max_attempts = 10
{inference}
"""
# Another account that owns nothing here; it may read all, for the interpreter may lie in its owner's home
AS_ANOTHER = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search", "--",
)  # fmt: skip
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Scale:
    """How large a play is: four arms, each searched and confirmed; with looks, blocks are added where needed."""

    search_trials: int
    replicates: int
    n_faults: int
    looks: tuple[int, ...] = ()

    @property
    def least_slots(self) -> int:
        return 4 * (self.search_trials + (self.looks or (self.replicates,))[0])

    @property
    def study(self) -> str:
        inference = f"[inference]\nlooks = {list(self.looks)}\nfutility = 0.0" if self.looks else ""
        return STUDY.format(search_trials=self.search_trials, replicates=self.replicates, inference=inference)


class Stage(Enum):
    """What the store is, as far as this machine has it."""

    MANAGED = "the managed Postgres"
    EXTERNAL = "a plain Postgres"
    POOLED = "a plain Postgres behind PgBouncer"

    @classmethod
    def of(cls, seed: int) -> "Stage":
        """Each in turn."""
        wanted = list(cls)[seed % len(cls)]
        if wanted is cls.MANAGED or programs() is None:
            return cls.MANAGED
        return wanted if wanted is cls.EXTERNAL or is_pooler_here() else cls.EXTERNAL


@dataclass
class Scene:
    """Everything that can be hurt, and what is found afterwards."""

    folder: Path
    scale: Scale
    stage: Stage = Stage.MANAGED
    n_agents: int = N_AGENTS
    n_launches: int = 0
    _run: subprocess.Popen[bytes] | None = None
    _others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _mounts: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.home, self.other_home = self.folder / "home", self.folder / "home-of-another"
        for home in (self.home, self.other_home):
            home.mkdir()
        self.spec = self.folder / "chaos.toml"
        self.spec.write_text(self.scale.study)
        self._plain = None if self.stage is Stage.MANAGED else PlainPostgres(self.folder / "postgres")
        self._managed = Server(self.folder / "postgres")
        direct = make_url(self.start_server())
        self.pooler = Pooler(self.folder / "pooler", direct, port=free_port()) if self.stage is Stage.POOLED else None
        shown = direct if self.pooler is None else self.pooler.start()
        self.proxy = Proxy(shown.port)
        self.url = shown.set(port=self.proxy.port).render_as_string(hide_password=False)
        own = direct.render_as_string(hide_password=False)
        self.store = Store(own, patience_s=60, application_name="onlooker")
        self.exchange = Exchange(own, refuse=self.proxy.refuse, accept=self.proxy.accept)
        self.log = (self.folder / "log").open("ab")

    # The server

    def start_server(self) -> str:
        """Make sure that it runs; its own address."""
        return (self._plain or self._managed).ensure_running()

    def server_pid(self) -> int | None:
        """Of the server, None where it is away."""
        return self._plain.pid if self._plain else self._managed.status().pid

    # The play

    def supervise(self) -> bool:
        """Start ``ablate run`` where it is not there; whether the study is over."""
        if self._run is not None and self._run.poll() is None:
            return False
        if self._run is not None and self._run.returncode == 0 and self._is_over():
            return True
        self._run = self.ablate("run", "--workers", str(self.n_agents), "--quiet")
        self.n_launches += 1
        return False

    def _is_over(self) -> bool:
        """Whether our store says so too: a dump may have been restored since, or another store stood there."""
        try:
            return not self.exchange.is_on and not self.store.counts("chaos").unfinished()
        except StoreError:
            return False

    def ablate(
        self, *words: str, python_path: Path | None = None, other_account: bool = False
    ) -> subprocess.Popen[bytes]:
        """A real ``ablate`` process that fills slots on this stage."""
        options = ["--study", str(self.spec), "--storage", self.url, "--lease", str(LEASE_S), "--allow-mixed"]
        return self.command(*words, *options, python_path=python_path, other_account=other_account)

    def command(
        self, *words: str, python_path: Path | None = None, other_account: bool = False
    ) -> subprocess.Popen[bytes]:
        """A real ``ablate`` process on this stage, with a home and account of its own where it shall be another's."""
        home = self.other_home if other_account else self.home
        environment = {**os.environ, "ABLATE_HOME": str(home), "OMP_NUM_THREADS": "1"}
        if python_path is not None:
            inherited = [path for path in (os.environ.get("PYTHONPATH"),) if path]
            environment["PYTHONPATH"] = os.pathsep.join([str(python_path), *inherited])
        process = subprocess.Popen(
            [*(AS_ANOTHER if other_account else ()), sys.executable, "-m", "ablate", *words],
            env=environment,
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )
        self._others.append(process)
        return process

    # The actors

    @property
    def launcher(self) -> subprocess.Popen[bytes] | None:
        return self._run if self._run is not None and self._run.poll() is None else None

    def named(self, name: str) -> list[psutil.Process]:
        """Processes of this stage that call themselves ``name``."""
        return [process for process in self.processes() if _name(process) == name]

    def processes(self) -> list[psutil.Process]:
        """Every process that ``ablate`` started here, dead ones apart."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get("ABLATE_HOME") in (str(self.home), str(self.other_home))
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def small_disk(self, name: str, *, size: str = "8m") -> Path | None:
        """A small file system in the home folder; None where nobody may mount one."""
        place = self.home / name
        if place in self._mounts:
            return place
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False)
        if done.returncode:
            return None
        self._mounts.append(place)
        return place

    # The end

    def results(self) -> Results:
        """By slot key, everything that must not depend on what happened on the way."""
        rows = self.store.database.rows(
            """
            SELECT s.key, s.params, r.scores, r.class_scores, r.epochs, a.content
            FROM ablate_slot s JOIN ablate_result r ON r.slot_id = s.id
            JOIN ablate_artifact a ON a.slot_id = s.id AND a.name = 'val.npz'
            """
        )
        found = {}
        for row in rows:
            with np.load(io.BytesIO(row.content)) as file:
                probabilities = file["probabilities"].tobytes()
            curve = {name: row.epochs[name] for name in ("stage", "epoch", "val_auroc", "val_auprc", "train_loss")}
            found[row.key] = {"params": row.params, "scores": row.scores, "classes": row.class_scores, "curve": curve,
                              "probabilities": probabilities}  # fmt: skip
        return found

    def flaws(self, expected: Results) -> list[str]:
        """What is not as it must be after the play; one sentence each."""
        slots = self.store.slots("chaos")
        found = [f"{slot.key}: {slot.state}, {slot.reason}" for slot in slots if slot.state is not SlotState.DONE]
        results = self.results()
        found += [f"{key}: nobody planned it in the undisturbed study" for key in results.keys() - expected.keys()]
        found += [f"{key}: differs in {name}" for key in expected for name in expected[key]
                  if key not in results or results[key][name] != expected[key][name]]  # fmt: skip
        count = self.store.database.rows
        if n := count("SELECT count(*) AS n FROM ablate_lease")[0].n:
            found.append(f"{n} leases left")
        trials = count("SELECT state, count(*) AS n FROM trials GROUP BY state")
        by_state = {row.state: row.n for row in trials if row.state != "FAIL"}  # of what was cancelled, and retried
        if by_state != {"COMPLETE": len(expected)}:
            found.append(f"Optuna's trials: {[tuple(row) for row in trials]}")
        if self.pooler is not None:
            self.pooler.stop()  # it keeps connections of its own
        of_others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        if left := count(f"SELECT application_name, state, query FROM pg_stat_activity WHERE {of_others}"):
            found.append(f"connections left: {[tuple(row) for row in left]}")
        found += [f"process left: {process}" for process in self.processes()]
        place = self.store.study("chaos").id  # what belongs to another store that stood there waits for it
        found += [
            f"file left: {path}"
            for home, folder in product((self.home, self.other_home), ("spool", "checkpoints"))
            for path in (home / folder / place).rglob("*.*")
        ]
        return found + self.exchange.flaws

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for process in self._others:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        self.proxy.close()
        self.store.disconnect()
        if self.pooler is not None:
            self.pooler.stop()
        (self._plain or self._managed).stop()
        self.log.close()
        for place in self._mounts:
            subprocess.run(["umount", place], check=False)

    def last_sweep(self) -> None:
        """What a user does who starts the finished study once more; and all that was started is waited for."""
        for process in self._others:
            if process.poll() is None:
                process.wait(60)
        self.ablate("worker").wait(120)
        if any(self.other_home.iterdir()):
            self.ablate("worker", other_account=True).wait(120)


def wait_until(is_true: Any, *, timeout_s: float, pause_s: float = 0.1) -> bool:
    """Whether ``is_true()`` became true in time."""
    until = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > until:
            return False
        time.sleep(pause_s)
    return True


def resume(process: psutil.Process) -> None:
    """Let a stopped process go on, if it is there."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGCONT)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
