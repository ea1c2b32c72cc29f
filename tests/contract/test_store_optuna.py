"""Our set-based writing of Optuna's tables against Optuna's own: the same rows, whatever Optuna is installed."""

import datetime
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sample_outcome import result

from ablate.outcome import Progress
from ablate.store.slot import AgentCard, PlannedSlot
from ablate.store.store import Store

SPACE = {
    "ft_lr": {"low": 1e-5, "high": 3e-3, "log": True},
    "probe_epochs": {"low": 0, "high": 50, "int": True},
    "drop_path_schedule": {"choices": ["linear", "constant"]},
}
DISTRIBUTIONS = {
    "ft_lr": FloatDistribution(1e-5, 3e-3, log=True),
    "probe_epochs": IntDistribution(0, 50),
    "drop_path_schedule": CategoricalDistribution(["linear", "constant"]),
}
PARAMS = {"ft_lr": 1e-4, "probe_epochs": 3, "drop_path_schedule": "constant"}
TABLES = {
    "studies": "study_name",
    "study_directions": "direction, objective",
    "study_user_attributes": "key, value_json::jsonb::text AS value",
    "study_system_attributes": "key, value_json::jsonb::text AS value",
    "trials": "number, state",
    "trial_values": "t.number, objective, value, value_type",
    "trial_params": "t.number, param_name, param_value, distribution_json",
    "trial_intermediate_values": "t.number, step, intermediate_value, intermediate_value_type",
    "trial_user_attributes": "t.number, key, value_json::jsonb::text AS value",
    "trial_system_attributes": "t.number, key, value_json::jsonb::text AS value",
    "trial_heartbeats": "t.number",
}


@pytest.fixture
def theirs(empty_url: str) -> Iterator[RDBStorage]:
    storage = RDBStorage(empty_url)
    yield storage
    storage.scoped_session.remove()
    storage.engine.dispose()


pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def write_ours(store: Store) -> None:
    agent = AgentCard(id="a", host="h", pid=1)
    slots = [
        PlannedSlot(key=f"k{i}", phase="search", arm="ft", context={"data_fraction": 0.1}, index=i, seed=i, priority=i)
        for i in range(3)
    ]
    store.register("s", {"question": "why?"}, "d", slots, space=SPACE)
    done, failed = store.claim("s", agent), store.claim("s", agent)
    assert done is not None
    assert failed is not None
    store.set_params(done, PARAMS)
    epochs = (
        Progress(stage="probe", epoch=1, n_epochs=1, val_auroc=0.6),
        Progress(stage="finetune", epoch=1, n_epochs=1, val_auroc=0.7),
    )
    store.finish(done, result(scores={"val_auroc": 0.7, "val_auprc": 0.3}, epochs=epochs))
    store.fail(failed, "diverged", "nan")
    store.mirror("s")


def write_theirs(storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s", directions=["maximize", "maximize"])
    study.set_metric_names(["val_auroc", "val_auprc"])
    study.set_user_attr("spec_digest", "d")
    study.set_user_attr("question", "why?")
    facts = {"phase": "search", "arm": "ft", "data_fraction": 0.1}
    attributes = [{"slot": f"k{i}", **facts, "index": i, "seed": i} for i in range(3)]
    done = create_trial(
        values=[0.7, 0.3],
        params=PARAMS,
        distributions=DISTRIBUTIONS,  # type: ignore[arg-type]
        user_attrs=attributes[0],
        intermediate_values={1: 0.6, 2: 0.7},
    )
    failed = create_trial(state=TrialState.FAIL, user_attrs=attributes[1] | {"reason": "diverged: nan"})
    waiting = create_trial(state=TrialState.WAITING, user_attrs=attributes[2])
    for trial in (done, failed, waiting):
        study.add_trial(trial)


def rows_of(store: Store, table: str, columns: str) -> list[tuple[Any, ...]]:
    join = " JOIN trials t USING (trial_id)" if columns.startswith("t.") else ""
    return sorted(tuple(row) for row in store.database.rows(f"SELECT {columns} FROM {table}{join}"))


def test_the_rows_are_those_that_optuna_writes(store: Store, theirs: RDBStorage, empty_url: str) -> None:
    write_ours(store)
    write_theirs(theirs)
    reference = Store(empty_url)
    for table, columns in TABLES.items():
        assert rows_of(store, table, columns) == rows_of(reference, table, columns), table
    reference.disconnect()


def test_no_table_of_optuna_is_forgotten(theirs: RDBStorage, empty_url: str) -> None:
    reference = Store(empty_url)
    found = reference.database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row.tablename for row in found} - {"version_info", "alembic_version"} == set(TABLES)
    reference.disconnect()


def test_optuna_reads_ours_as_it_reads_its_own(store: Store, store_url: str, theirs: RDBStorage) -> None:
    write_ours(store)
    write_theirs(theirs)
    ours = RDBStorage(store_url)
    told = [optuna.load_study(study_name="s", storage=storage) for storage in (ours, theirs)]
    for mine, reference in zip(told[0].trials, told[1].trials, strict=True):
        assert plain(mine) == plain(reference)
    first = told[0].trials[0]
    assert first.datetime_start is not None
    assert abs(datetime.datetime.now() - first.datetime_start) < datetime.timedelta(minutes=5)  # Optuna's local time
    ours.scoped_session.remove()
    ours.engine.dispose()


def plain(trial: FrozenTrial) -> tuple[Any, ...]:
    return (
        trial.number,
        trial.state,
        trial.values,
        trial.params,
        trial.distributions,
        trial.user_attrs,
        trial.system_attrs,
        trial.intermediate_values,
    )
