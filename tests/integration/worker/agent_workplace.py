"""A registered study and agents that fill its slots, with everything real but the training."""

import os
import uuid
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.study.plan import plan
from ablate.study.spec import Spec
from ablate.worker.agent import Agent
from ablate.worker.agent_options import AgentOptions
from ablate.worker.checkpoint_folder import CheckpointFolder
from ablate.worker.fork_server import ForkServer
from ablate.worker.spool import Spool
from ablate.worker.store_thread import StoreThread
from ablate.worker.trainer_process import TrainerProcess
from ablate.worker.wakeup import Wakeup


def spec_document(name: str = "s", **budget: Any) -> dict[str, Any]:
    return {
        "name": name,
        "question": "q",
        "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
        "encoder": {"name": "net1d_small"},
        "fixed": {"ft_epochs": 5, "batch_size": 64},
        "space": {"drop_path_rate": {"low": 0.0, "high": 0.5}},
        "arms": {"ft": {"drop_path_rate": 0.0}, "sd": {}},
        "budget": {"search_trials": 2, "replicates": 1, "generation": 1} | budget,
        "margin": {"auroc": 0.005},
    }


class Lent:
    """A fork server that outlives the agents it is lent to."""

    def __init__(self, fork_server: ForkServer) -> None:
        self.fork = fork_server.fork

    def close(self) -> None:
        pass


class Workplace:
    """A registered study, and agents that fill its slots."""

    def __init__(self, fork_server: ForkServer, store: Store, home: Path, name: str = "s", **budget: Any) -> None:
        self.fork_server, self.store, self.home, self.name = fork_server, store, home, name
        self.spec = Spec.from_document(spec_document(name, **budget))
        max_attempts = self.spec.budget.max_attempts
        store.register(name, self.spec.document(), self.spec.digest(), plan(self.spec), max_attempts=max_attempts)
        self.checkpoint_folder = CheckpointFolder(home / "checkpoints")
        self.wakeups = []

    def agent(
        self,
        trainer: str = "filling",
        *,
        store: Store | None = None,
        lifeline: Connection | None = None,
        seat: int = 0,
        **agent_options: Any,
    ) -> Agent:
        """An agent with the scripted trainer ``trainer``; ``serve`` it."""
        agent_options = AgentOptions(
            study=self.name, storage="unused", lease_s=agent_options.pop("lease_s", 2.0), **agent_options
        )
        card = AgentCard(id=f"test-{uuid.uuid4().hex[:8]}", host="here", pid=os.getpid())
        wakeup = Wakeup()
        self.wakeups.append(wakeup)
        store_thread = StoreThread(
            agent_options,
            store=(store or self.store).patient(0.5),
            spec=self.spec,
            agent=card,
            spool=Spool(self.home / "spool", agent=card.id),
            checkpoint_folder=self.checkpoint_folder,
            wake=wakeup.ring,
        )
        process = TrainerProcess(Lent(self.fork_server), device="cpu", n_threads=1, entry=f"scripted_trainer:{trainer}")
        return Agent(
            agent_options,
            seat=seat,
            spec=self.spec,
            cohorts=dict.fromkeys((subject.view for subject in self.spec.all_subjects()), self.home / "cohort"),
            store_thread=store_thread,
            trainer=process,
            checkpoint_folder=self.checkpoint_folder,
            wakeup=wakeup,
            lifeline=lifeline,
        )

    def states(self) -> dict[str, str]:
        return {slot.key: str(slot.state) for slot in self.store.slots(self.name)}

    def attempts(self) -> list[Any]:
        """Outcome and message of each attempt, in order."""
        table = self.store.tables(self.name).attempts
        return list(zip(table.outcome, table.message, strict=True))
