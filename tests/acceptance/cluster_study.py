"""A study small enough to be filled several times over in a test, and what tells two fillings apart."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from ablate.launch.launcher import AgentStatus, launch
from ablate.launch.local import LocalLauncher
from ablate.store.slot import SlotState
from ablate.store.store import Store
from ablate.store.study_tables import StudyTables
from ablate.study.file import load_spec
from ablate.study.plan import plan
from ablate.study.spec import Spec
from ablate.worker.agent_options import AgentOptions

STUDY = """
question = "Does it matter where a trial is done?"

[data]
source = "synthetic"
task = "superdiagnostic"
n_records = 200
seed = 5

[encoder]
name = "net1d_small"
weights = "random"

[fixed]
ft_epochs = {ft_epochs}
probe_epochs = 1
batch_size = 64

[space]
ft_lr = {{ low = 1e-4, high = 3e-3, log = true }}
drop_path_rate = {{ low = 0.0, high = 0.5 }}

[arms.ft]
drop_path_rate = 0.0

[arms.sd]
drop_path_rate = {{ low = 0.05, high = 0.5 }}

[budget]
search_trials = {search_trials}
replicates = {replicates}
generation = 5

[[contrasts]]
name = "sd"
arm = "sd"
baseline = "ft"
"""
N_SLOTS = 40


def write_study(folder: Path, *, ft_epochs: int = 1, search_trials: int = 15, replicates: int = 5) -> Spec:
    """The study, of 2 x (search_trials + replicates) slots."""
    path = folder / "where.toml"
    path.write_text(STUDY.format(ft_epochs=ft_epochs, search_trials=search_trials, replicates=replicates))
    return load_spec(str(path))


def register(store: Store, spec: Spec) -> None:
    store.register(spec.name, spec.document(), spec.digest(), plan(spec), space=spec.space)


def fill_here(url: str, spec: Spec, *, n_agents: int = 2) -> None:
    """Fill the study by the local launcher."""
    store = Store(url)
    store.create_schema()
    register(store, spec)
    store.disconnect()
    launch(LocalLauncher(), [AgentOptions(study=spec.name, storage=url)] * n_agents)


class Faults:
    """Does something to the engine once so many slots are done; for ``on_tick``."""

    def __init__(self, store: Store, study: str, faults: dict[int, Callable[[], None]], *, limit_s: float) -> None:
        self._store, self._study, self._faults = store, study, dict(sorted(faults.items()))
        self._until = time.monotonic() + limit_s

    def __call__(self, statuses: Sequence[AgentStatus]) -> None:
        if time.monotonic() > self._until:
            pytest.fail(f"the study is not done: {self.n_done()} slots, {statuses}")
        due = next(iter(self._faults), None)
        if due is not None and self.n_done() >= due:
            self._faults.pop(due)()

    @property
    def all_done(self) -> bool:
        return not self._faults

    def n_done(self) -> int:
        return self._store.counts(self._study).of(SlotState.DONE)


def assert_filled(url: str, study: str, n_slots: int) -> None:
    """Every slot has a result, and none has two: exactly one of its attempts is done."""
    with reading(url, study) as tables:
        assert list(tables.slots["state"].astype(str)) == ["done"] * n_slots
        done = tables.attempts[tables.attempts["outcome"] == "done"]
        assert sorted(done["slot_id"]) == sorted(tables.slots["slot_id"])


def assert_equal(url: str, other_url: str, study: str) -> None:
    """Scores, params and predictions are the same to the last bit."""
    pd.testing.assert_frame_equal(results(url, study), results(other_url, study), check_exact=True)


def results(url: str, study: str) -> pd.DataFrame:
    """Scores, params and predictions by slot key, whatever machine they came from."""
    with reading(url, study) as tables:
        slots = tables.slots.set_index("slot_id")
        scores = tables.scores.drop(columns=["peak_memory_bytes", "device"])
        scores["val.npz"] = [tables.probabilities(slot, split="val").tobytes() for slot in scores.index]
        scores["params"] = [str(tables.params.loc[slot].to_dict()) for slot in scores.index]
        return scores.set_index(slots.loc[scores.index, "key"].to_numpy()).sort_index()


@contextmanager
def reading(url: str, study: str) -> Iterator[StudyTables]:
    store = Store(url)
    try:
        yield store.tables(study)
    finally:
        store.disconnect()
