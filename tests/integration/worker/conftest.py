"""Agents with everything real but the training: store, clerk, spool, fork server, pipes."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from ablate.store.slot import Agent as Card
from ablate.study.plan import plan
from ablate.study.spec import Spec
from ablate.worker.agent import Agent
from ablate.worker.bell import Bell
from ablate.worker.clerk import Clerk
from ablate.worker.duty import Duty
from ablate.worker.nursery import Nursery
from ablate.worker.process import TrainerProcess
from ablate.worker.shelf import Shelf
from ablate.worker.spool import Spool


def spec_document(name="s", **budget):
    return {
        "name": name,
        "question": "q",
        "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
        "encoder": {"name": "net1d_small"},
        "fixed": {"ft_epochs": 5, "batch_size": 64},
        "space": {"drop_path_rate": {"low": 0.0, "high": 0.5}},
        "arms": {"ft": {"drop_path_rate": 0.0}, "sd": {}},
        "budget": {"search_trials": 2, "replicates": 1, "generation": 1} | budget,
    }


@pytest.fixture(scope="session")
def nursery():
    """One fork server for all tests of this folder."""
    nursery = Nursery.start()
    yield nursery
    nursery.close()


class Lent:
    """A nursery that outlives the agents it is lent to."""

    def __init__(self, nursery):
        self.fork = nursery.fork

    def close(self):
        pass


class Workplace:
    """A registered study, and agents that fill its slots."""

    def __init__(self, nursery, store, home, name="s", **budget):
        self.nursery, self.store, self.home, self.name = nursery, store, home, name
        self.spec = Spec.from_document(spec_document(name, **budget))
        max_attempts = self.spec.budget.max_attempts
        store.register(name, self.spec.document(), self.spec.digest(), plan(self.spec), max_attempts=max_attempts)
        self.shelf = Shelf(home / "checkpoints")
        self.bells = []

    def agent(self, trainer="filling", *, store=None, lifeline=None, **duty):
        """An agent with the scripted trainer ``trainer``; ``serve`` it."""
        duty = Duty(study=self.name, storage="unused", lease_s=duty.pop("lease_s", 2.0), **duty)
        card = Card(id=f"test-{uuid.uuid4().hex[:8]}", host="here", pid=os.getpid())
        bell = Bell()
        self.bells.append(bell)
        clerk = Clerk(
            duty, store=(store or self.store).patient(0.5), spec=self.spec, agent=card,
            spool=Spool(self.home / "spool", agent=card.id), shelf=self.shelf, wake=bell.ring,
        )  # fmt: skip
        process = TrainerProcess(Lent(self.nursery), device="cpu", n_threads=1, entry=f"scripted_trainer:{trainer}")
        return Agent(duty, spec=self.spec, cohort=self.home / "cohort", clerk=clerk, trainer=process, shelf=self.shelf,
                     bell=bell, lifeline=lifeline)  # fmt: skip

    def states(self):
        return {slot.key: str(slot.state) for slot in self.store.slots(self.name)}

    def attempts(self):
        """Outcome and message of each attempt, in order."""
        table = self.store.tables(self.name).attempts
        return list(zip(table.outcome, table.message, strict=True))


@pytest.fixture
def make_workplace(nursery, store, tmp_path):
    """A workplace for a study with the given budget."""
    made = []

    def make(**budget):
        made.append(Workplace(nursery, store, tmp_path, **budget))
        return made[-1]

    yield make
    for bell in (bell for workplace in made for bell in workplace.bells):
        bell.close()


@pytest.fixture
def workplace(make_workplace):
    return make_workplace()


@pytest.fixture
def in_background():
    """Call something in a thread; its future."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit
