import math
import multiprocessing
import threading
from collections.abc import Callable, Iterator

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sample_outcome import progress
from small_study import SPACE, confirm_slots, result, search_slots, stopped_result

from ablate.store.slot import AgentCard, SlotState
from ablate.store.store import Store

Register = Callable[..., str]


@pytest.fixture
def storage(store_url: str) -> Iterator[RDBStorage]:
    storage = RDBStorage(store_url)
    yield storage
    storage.scoped_session.remove()
    storage.engine.dispose()


def load(storage: RDBStorage, name: str = "s") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=storage)


def states(storage: RDBStorage) -> list[str]:
    return [trial.state.name for trial in load(storage).get_trials(deepcopy=False)]


def test_an_optuna_user_sees_the_whole_plan(storage: RDBStorage, register: Register) -> None:
    register(*search_slots(2), *confirm_slots(1))
    study = load(storage)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["val_auroc", "val_auprc"]
    assert study.user_attrs == {"question": "why?", "spec_digest": "digest"}
    assert [(trial.number, trial.state.name) for trial in study.trials] == [(i, "WAITING") for i in range(3)]
    assert study.trials[2].user_attrs == {
        "slot": "confirm/ft/0",
        "phase": "confirm",
        "arm": "ft",
        "data_fraction": 0.1,
        "index": 0,
        "seed": 0,
    }


def test_a_trial_follows_its_slot(store: Store, storage: RDBStorage, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-4, "probe_epochs": 7, "drop_path_schedule": "constant", "batch_size": 64})
    store.renew(claim, progress(2, val_auroc=0.6))
    store.mirror(name)
    [trial] = load(storage).trials
    assert trial.state is TrialState.RUNNING
    assert trial.params == {"ft_lr": 1e-4, "probe_epochs": 7, "drop_path_schedule": "constant"}
    assert trial.distributions["probe_epochs"] == optuna.distributions.IntDistribution(0, 50)
    assert trial.intermediate_values == {9: 0.6}  # after the 7 epochs of the probe
    store.release(claim, "preempted")
    store.mirror(name)
    [trial] = load(storage).trials
    assert (trial.state, trial.datetime_start) == (TrialState.WAITING, None)
    again = store.claim(name, agent)
    assert again is not None
    store.finish(again, result(0.8))
    store.mirror(name)
    [trial] = load(storage).trials
    assert trial.state is TrialState.COMPLETE
    assert trial.values == [0.8, 0.4]
    assert trial.intermediate_values == pytest.approx({1: 0.6, 2: 0.8})
    assert trial.duration is not None
    assert trial.params["ft_lr"] == 1e-4
    assert trial.number == 0


def test_scores_of_the_test_fold_and_reasons_of_failure_are_attributes(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*confirm_slots(2))
    store.seal(name, {})
    done, failed = store.claim(name, agent), store.claim(name, agent)
    assert done is not None
    assert failed is not None
    scores = {**result().scores, "test_auroc": 0.77, "test_auprc": math.nan}
    store.finish(done, result(scores=scores))
    store.fail(failed, "diverged", "loss is nan")
    store.mirror(name)
    first, second = load(storage).trials
    assert first.user_attrs["test_auroc"] == 0.77
    assert (second.state, second.user_attrs["reason"]) == (TrialState.FAIL, "diverged: loss is nan")
    store.retry_failed(name)
    store.mirror(name)
    assert states(storage) == ["COMPLETE", "WAITING"]


def test_a_result_without_an_objective_is_a_failed_trial_and_stays_one(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result(math.nan))
    store.mirror(name)
    assert states(storage) == ["FAIL"]
    assert store.reconcile(name, thorough=True).n_strayed == 0


def test_a_trial_that_was_stopped_early_is_pruned_and_optuna_still_samples(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    """With intermediate values it would not: TPE fails on those of a pruned trial where there are two objectives."""
    name = register(*search_slots(12))
    for i in range(12):
        claim = store.claim(name, agent)
        assert claim is not None
        store.set_params(claim, {"ft_lr": 10 ** (-5 + i / 10), "probe_epochs": i, "drop_path_schedule": "linear"})
        if i == 0:
            store.renew(claim, progress(1, val_auroc=0.5))
            store.mirror(name)
        store.finish(claim, result(0.7 + i / 100) if i % 2 else stopped_result(0.5))
    store.mirror(name)
    study = load(storage)
    assert {trial.state for trial in study.trials[::2]} == {TrialState.PRUNED}
    pruned = study.trials[0]
    assert (pruned.values, pruned.intermediate_values) == (None, {})
    assert pruned.params["probe_epochs"] == 0
    assert pruned.user_attrs["stopped_epoch"] == 1
    assert pruned.user_attrs["val_auroc_by_epoch"] == pytest.approx([0.3, 0.5])
    assert pruned.user_attrs["val_auroc"] == 0.5
    assert pruned.user_attrs["reason"].startswith(
        "stopped early after epoch 1 of 5: val_auroc 0.5000, below the 0.6000"
    )
    assert store.reconcile(name, thorough=True).n_strayed == 0
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=2, seed=1)
    assert set(study.ask(pruned.distributions).params) == set(pruned.distributions)
    assert [trial.number for trial in study.best_trials] == [11]


def test_params_outside_the_space_are_left_out(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1.0, "probe_epochs": 5, "drop_path_schedule": "other"})
    store.mirror(name)
    assert load(storage).trials[0].params == {"probe_epochs": 5}


def test_mirroring_again_changes_nothing(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register()
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result())
    assert store.mirror(name) == 1
    before = load(storage).trials
    assert store.mirror(name) == 0
    assert store.reconcile(name, thorough=True).n_mirrored == 0
    store.database.rows("UPDATE ablate_slot SET stale = true")
    assert store.mirror(name) == 4
    assert load(storage).trials == before


def test_reconcile_mends_what_an_optuna_user_did(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register()
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result())
    store.mirror(name)
    stolen = load(storage).ask()  # takes a trial that belongs to a waiting slot
    assert stolen.number == 1
    store.database.rows("DELETE FROM trial_user_attributes WHERE trial_id = (SELECT max(trial_id) FROM trials)")
    store.database.rows("DELETE FROM trials WHERE trial_id = (SELECT max(trial_id) FROM trials)")
    mended = store.reconcile(name, thorough=True)
    assert (mended.n_strayed, mended.n_mirrored) == (2, 2)
    assert states(storage) == ["COMPLETE", "WAITING", "WAITING", "WAITING"]
    assert sorted(trial.number for trial in load(storage).trials) == [0, 1, 2, 3]


def test_a_deleted_optuna_study_comes_back_whole(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register()
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result(0.75))
    store.mirror(name)
    optuna.delete_study(study_name=name, storage=storage)
    assert store.mirror(name) == 4
    assert states(storage) == ["COMPLETE", "WAITING", "WAITING", "WAITING"]
    assert load(storage).trials[0].values == [0.75, 0.375]


def test_a_crash_in_the_middle_leaves_it_as_it_was(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = register()
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result())
    before = load(storage).trials
    n_statements = 0
    engine = store.database._engine

    @sa.event.listens_for(engine, "before_cursor_execute")
    def crash(*_: object) -> None:
        nonlocal n_statements
        n_statements += 1
        if n_statements >= crash_at:
            raise KeyboardInterrupt

    n_crashes = 0
    for crash_at in range(1, 50):  # noqa: B007 - read by the listener
        n_statements = 0
        try:
            store.mirror(name)
        except KeyboardInterrupt:
            n_crashes += 1
            assert load(storage).trials == before
        else:
            break
    sa.event.remove(engine, "before_cursor_execute", crash)
    assert n_crashes >= 5
    assert states(storage) == ["COMPLETE", "WAITING", "WAITING", "WAITING"]


def _mirror(url: str, barrier: threading.Barrier) -> None:
    store = Store(url)
    barrier.wait()
    store.mirror("s")
    store.disconnect()


def test_a_slot_that_changes_meanwhile_is_mirrored_next_time(
    store: Store, store_url: str, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(2))
    first, second = store.claim(name, agent), store.claim(name, agent)
    assert first is not None
    assert second is not None
    other = Store(store_url)

    def finish_meanwhile(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "trial_user_attributes" in statement and other.counts(name).of(SlotState.DONE) == 0:
            other.finish(second, result(0.9))  # not held up by the mirror, and not overlooked by it

    engine = store.database._engine
    sa.event.listen(engine, "before_cursor_execute", finish_meanwhile)
    store.mirror(name)
    sa.event.remove(engine, "before_cursor_execute", finish_meanwhile)
    other.disconnect()
    assert states(storage) == ["RUNNING", "RUNNING"]
    assert store.mirror(name) == 1
    assert states(storage) == ["RUNNING", "COMPLETE"]
    assert load(storage).trials[1].values == [0.9, 0.45]


def test_many_at_once_make_one_trial_for_each_slot(store: Store, store_url: str, register: Register) -> None:
    name = register(*search_slots(300))
    store.database.rows("UPDATE ablate_slot SET stale = true, trial_id = NULL")
    store.database.rows("TRUNCATE trials CASCADE")
    store.disconnect()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    mirrors = [context.Process(target=_mirror, args=(store_url, barrier)) for _ in range(6)]
    for process in mirrors:
        process.start()
    for process in mirrors:
        process.join()
        assert process.exitcode == 0
    store.mirror(name)
    [row] = store.database.rows("SELECT count(*) AS n, count(DISTINCT number) AS n_numbers FROM trials")
    assert (row.n, row.n_numbers) == (300, 300)


def test_the_cost_does_not_grow_with_the_number_of_trials(store: Store, register: Register) -> None:
    statements: list[str] = []
    sa.event.listen(store.database._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    n_statements = []
    for n_slots in (10, 1000):
        name = register(*search_slots(n_slots), name=f"s{n_slots}")
        store.database.rows("UPDATE ablate_slot SET stale = true")
        statements.clear()
        assert store.mirror(name) == n_slots
        n_statements.append(len(statements))
    assert n_statements[0] == n_statements[1] <= 10


def test_optuna_samples_and_ranks_on_it(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(20))
    for i in range(20):
        claim = store.claim(name, agent)
        assert claim is not None
        store.set_params(claim, {"ft_lr": 10 ** (-5 + i / 10), "probe_epochs": i, "drop_path_schedule": "linear"})
        store.finish(claim, result(0.7 + i / 100))
    store.mirror(name)
    study = load(storage)
    assert [trial.number for trial in study.best_trials] == [19]
    importances = optuna.importance.get_param_importances(
        study, target=lambda trial: trial.values[0], evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    assert set(importances) == set(SPACE)
