import math
import multiprocessing
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sample_outcome import progress
from small_study import CONFIRM, SEARCH, SPACE, confirm_slots, result, search_slots, stopped_result

import ablate.store
from ablate.errors import StoreError
from ablate.store.slot import AgentCard, SlotState
from ablate.store.store import Store

Register = Callable[..., str]


@pytest.fixture
def storage(store_url: str) -> Iterator[RDBStorage]:
    storage = RDBStorage(store_url)
    yield storage
    storage.scoped_session.remove()
    storage.engine.dispose()


def load(storage: RDBStorage, name: str = "s" + SEARCH) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=storage)


def states(storage: RDBStorage, name: str = "s" + SEARCH) -> list[str]:
    return [trial.state.name for trial in load(storage, name).get_trials(deepcopy=False)]


def test_an_optuna_user_sees_what_was_begun(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(2), *confirm_slots(1))
    study = load(storage)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["val_auroc", "val_auprc"]
    assert study.user_attrs == {"ablate_study": store.study(name).id, "question": "why?", "spec_digest": "digest"}
    assert study.trials == []
    first, second = store.claim(name, agent), store.claim(name, agent)
    assert first is not None
    assert second is not None
    store.set_params(second, {"ft_lr": 1e-4})
    assert store.mirror(name) == 2
    [trial] = load(storage).trials  # the first has no params yet
    assert (trial.number, trial.state) == (0, TrialState.RUNNING)
    attributes = {"slot": "search/ft/1", "phase": "search", "arm": "ft", "data_fraction": 0.1, "seed": 2**62 + 1}
    assert trial.user_attrs == attributes


def test_a_trial_follows_its_slot(store: Store, storage: RDBStorage, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-4, "probe_epochs": 7, "drop_path_schedule": "constant", "batch_size": 64})
    store.mirror(name)
    store.renew(claim, progress(2, val_auroc=0.6))
    store.mirror(name)
    [trial] = load(storage).trials
    assert trial.state is TrialState.RUNNING
    assert trial.params == {"ft_lr": 1e-4, "probe_epochs": 7, "drop_path_schedule": "constant"}
    assert trial.distributions["probe_epochs"] == optuna.distributions.IntDistribution(0, 50)
    assert trial.intermediate_values == {2: 0.6}
    store.release(claim, "preempted")
    store.mirror(name)
    [trial] = load(storage).trials
    assert trial.state is TrialState.WAITING
    again = store.claim(name, agent)
    assert again is not None
    store.mirror(name)
    assert states(storage) == ["RUNNING"]
    store.finish(again, result(0.8))
    store.mirror(name)
    [trial] = load(storage).trials
    assert trial.state is TrialState.COMPLETE
    assert trial.values == [0.8, 0.4]
    assert trial.intermediate_values == pytest.approx({1: 0.8, 2: 0.6})
    assert trial.duration is not None
    assert trial.params["ft_lr"] == 1e-4
    assert store.mirror(name) == 0


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
    first, second = load(storage, name + CONFIRM).trials
    assert first.user_attrs["test_auroc"] == 0.77
    assert (second.state, second.user_attrs["reason"]) == (TrialState.FAIL, "diverged: loss is nan")
    store.retry_failed(name)
    store.mirror(name)
    assert states(storage, name + CONFIRM) == [
        "COMPLETE",
        "FAIL",
    ]  # Optuna changes no finished trial: the next attempt gets another
    again = store.claim(name, agent)
    assert again is not None
    store.finish(again, result())
    store.mirror(name)
    assert states(storage, name + CONFIRM) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert load(storage, name + CONFIRM).trials[2].user_attrs["slot"] == second.user_attrs["slot"]
    assert store.mirror(name) == 0


def test_a_result_without_an_objective_is_a_failed_trial_and_stays_one(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result(math.nan))
    store.mirror(name)
    assert states(storage) == ["FAIL"]
    crashed(store)
    assert store.mirror(name) == 0


def test_a_trial_that_was_stopped_early_is_pruned_and_optuna_still_samples(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    """With intermediate values it would not: TPE fails on those of a pruned trial where there are two objectives."""
    name = register(*search_slots(12))
    for i in range(12):
        claim = store.claim(name, agent)
        assert claim is not None
        params = {"ft_lr": 10 ** (-5 + i / 10), "probe_epochs": i, "drop_path_schedule": "linear"}
        store.set_params(claim, params, rungs={"score": "val_auroc", "thresholds": [[1, 0.6]]})
        if i == 0:
            store.mirror(name)
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
    crashed(store)
    assert store.mirror(name) == 0
    store.database.rows("UPDATE ablate_slot SET stale = true")
    assert store.mirror(name) == 4
    assert load(storage).trials == before


def crashed(store: Store) -> None:
    """As after a process that died while it mirrored."""
    store.database.rows("UPDATE ablate_study SET is_mirroring = true")


def test_what_an_optuna_user_took_or_ended_is_mended_after_a_crash(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register()
    claims = [store.claim(name, agent) for _ in range(3)]
    for claim in claims:
        assert claim is not None
        store.set_params(claim, {"ft_lr": 1e-4})
    assert claims[0] and claims[1] and claims[2]
    store.mirror(name)
    store.release(claims[0], "preempted")
    store.mirror(name)
    load(storage).ask()  # takes the trial of a waiting slot
    load(storage).tell(1, [0.5, 0.5])  # and ends one that goes on
    assert states(storage) == ["RUNNING", "COMPLETE", "RUNNING"]
    store.finish(claims[1], result(0.8))
    crashed(store)
    store.mirror(name)
    assert states(storage) == ["WAITING", "COMPLETE", "RUNNING"]


def test_a_deleted_optuna_study_comes_back_whole(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register()
    for state in ("done", "leased"):
        claim = store.claim(name, agent)
        assert claim is not None
        store.set_params(claim, {"ft_lr": 1e-4})
        if state == "done":
            store.finish(claim, result(0.75))
    store.mirror(name)
    optuna.delete_study(study_name=name + SEARCH, storage=storage)
    crashed(store)
    assert store.mirror(name) == 2
    assert states(storage) == ["COMPLETE", "RUNNING"]
    assert load(storage).trials[0].values == [0.75, 0.375]


@pytest.mark.parametrize("part", [SEARCH, CONFIRM])
def test_a_study_of_somebody_else_is_left_alone(
    store: Store, storage: RDBStorage, register: Register, part: str
) -> None:
    optuna.create_study(storage=storage, study_name=f"theirs{part}").set_user_attr("note", "mine")
    with pytest.raises(StoreError, match=f"an Optuna study theirs{part} is in the store already, which ablate has not"):
        register(name="theirs")
    assert "theirs" not in store.studies()
    name = register(name="ours")
    optuna.delete_study(study_name=name + part, storage=storage)
    optuna.create_study(storage=storage, study_name=name + part).set_user_attr("note", "mine")
    store.database.rows("UPDATE ablate_slot SET stale = true")
    with pytest.raises(StoreError, match=f"an Optuna study ours{part} is in the store already"):
        store.mirror(name)
    assert load(storage, name + part).user_attrs == {"note": "mine"}


def test_a_study_of_somebody_else_is_left_alone_after_a_crash(
    store: Store, storage: RDBStorage, register: Register
) -> None:
    """One that was made and says nothing is taken for what a dead process left, unless it has trials."""
    name = register()
    optuna.delete_study(study_name=name + SEARCH, storage=storage)
    theirs = optuna.create_study(storage=storage, study_name=name + SEARCH)
    theirs.add_trial(optuna.trial.create_trial(value=0.5))
    crashed(store)
    with pytest.raises(StoreError, match="which ablate has not made"):
        store.mirror(name)
    crashed(store)
    store.delete(name)
    assert [trial.value for trial in load(storage, name + SEARCH).trials] == [0.5]


def test_search_and_confirmation_and_contexts_stand_apart(
    store: Store, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    whole = [replace(slot, key=f"{slot.key}/1.0", context={"data_fraction": 1.0}) for slot in search_slots(2)]
    name = register(*search_slots(3), *whole, *confirm_slots(1))
    store.seal(name, {})
    for _ in range(6):
        claim = store.claim(name, agent)
        assert claim is not None
        store.set_params(claim, {"ft_lr": 1e-4})
    store.mirror(name)
    assert store.optuna_names(name) == [name + SEARCH, f"{name} · search · data_fraction=1.0", name + CONFIRM]
    by_study = {each: [trial.user_attrs["slot"] for trial in load(storage, each).trials] for each in
                store.optuna_names(name)}  # fmt: skip
    assert by_study == {
        name + SEARCH: [f"search/ft/{i}" for i in range(3)],
        f"{name} · search · data_fraction=1.0": ["search/ft/0/1.0", "search/ft/1/1.0"],
        name + CONFIRM: ["confirm/ft/0"],
    }


def test_a_long_context_has_a_name_that_optuna_takes_and_that_no_other_has(
    store: Store, storage: RDBStorage, register: Register
) -> None:
    contexts = [{"encoder": "folder/" * 150 + f"{letter}.py:make"} for letter in "ab"]
    slots = [replace(slot, context=context) for slot, context in zip(search_slots(2), contexts, strict=True)]
    name = register(*slots)
    assert sorted(optuna.get_all_study_names(storage)) == sorted(store.optuna_names(name))
    assert len(store.optuna_names(name)) == 3


def test_a_crash_anywhere_leaves_no_trial_twice(
    store: Store, store_url: str, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    """Killed before one statement after the other, ours and Optuna's; in the end each slot has one trial."""
    name = register(*search_slots(3))
    for number in range(3):
        claim = store.claim(name, agent)
        assert claim is not None
        store.set_params(claim, {"ft_lr": 1e-4})
        if number < 2:
            store.finish(claim, result(0.7 + number / 10))
    n_left, n_crashes = 0, 0

    def crash(*_: object) -> None:
        nonlocal n_left
        n_left -= 1
        if n_left == 0:
            raise KeyboardInterrupt

    sa.event.listen(sa.Engine, "before_cursor_execute", crash)
    try:
        for n_before in range(1, 400, 7):
            other = Store(store_url)
            n_left = n_before
            try:
                other.mirror(name)
            except KeyboardInterrupt:
                n_crashes += 1
            else:
                break
            finally:
                n_left = 0
                other.disconnect()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", crash)
    assert n_crashes >= 5
    store.mirror(name)
    assert sorted(trial.user_attrs["slot"] for trial in load(storage).trials) == [f"search/ft/{i}" for i in range(3)]
    assert sorted(states(storage)) == ["COMPLETE", "COMPLETE", "RUNNING"]


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
    for claim in (first, second):
        assert claim is not None
        store.set_params(claim, {"ft_lr": 1e-4})
    assert second is not None
    other = Store(store_url)

    def finish_meanwhile(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO trials" in statement and other.counts(name).of(SlotState.DONE) == 0:
            other.finish(second, result(0.9))  # not held up by the mirror, and not overlooked by it

    sa.event.listen(sa.Engine, "before_cursor_execute", finish_meanwhile)
    store.mirror(name, within_s=0)
    store.mirror(name, within_s=0)
    sa.event.remove(sa.Engine, "before_cursor_execute", finish_meanwhile)
    other.disconnect()
    store.mirror(name)
    assert states(storage) == ["RUNNING", "COMPLETE"]
    assert load(storage).trials[1].values == [0.9, 0.45]


def test_many_at_once_make_one_trial_for_each_slot(
    store: Store, store_url: str, storage: RDBStorage, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(40))
    for _ in range(40):
        claim = store.claim(name, agent)
        assert claim is not None
        store.finish(claim, result())
    store.disconnect()
    storage.engine.dispose()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    mirrors = [context.Process(target=_mirror, args=(store_url, barrier)) for _ in range(6)]
    for process in mirrors:
        process.start()
    for process in mirrors:
        process.join()
        assert process.exitcode == 0
    store.mirror(name)
    keys = [trial.user_attrs["slot"] for trial in load(storage).trials]
    assert sorted(keys) == sorted(slot.key for slot in search_slots(40))


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


def test_no_statement_of_ours_names_a_table_of_optunas(store: Store) -> None:
    """Its tables change with its releases; its public methods do not."""
    rows = store.database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    theirs = [row.tablename for row in rows if not row.tablename.startswith("ablate_")]
    assert "trials" in theirs
    named = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE|TABLE)\s+({'|'.join(theirs)})\b")
    folder = Path(ablate.store.__file__).parent
    assert [path.name for path in folder.rglob("*.py") if named.search(path.read_text())] == []
