"""Early stopping through real processes: the same trials are stopped at the same epochs whoever trains them."""

import csv
from collections.abc import Callable

import optuna
from command_folder import Workplace
from optuna.storages import RDBStorage

STOPPING = """
question = "Which learning rate?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 240, seed = 3}
encoder = {name = "net1d_small", weights = "random"}
fixed = {ft_epochs = 4, batch_size = 32, probe_epochs = 0}
context = {data_fraction = [0.5]}
budget = {search_trials = 9, replicates = 1, generation = 3}
search = {early_stopping = {eta = 2, first_rung = 1}}
[space]
ft_lr = {low = 1e-5, high = 3e-2, log = true}
[arms.ft]
"""
N_SEARCH, N_SLOTS = 9, 10


def rows(workplace: Workplace, name: str = "trials") -> list[dict[str, str]]:
    workplace.ablate("report", "--study", "small", "--out", "out")
    with (workplace.folder / "out" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def decided(workplace: Workplace) -> dict[str, dict[str, str]]:
    kept = ("val_", "test_", "param_", "best_epoch", "stopped_epoch", "reason")
    return {row["key"]: {name: row[name] for name in row if name.startswith(kept)} for row in rows(workplace)}


def test_stopped_trials_are_the_same_with_one_worker_and_with_four(new_workplace: Callable[[], Workplace]) -> None:
    alone, together = new_workplace(), new_workplace()
    for workplace, n_workers in ((alone, "1"), (together, "4")):
        workplace.study.write_text(STOPPING)
        shown = workplace.ablate("run", "--study", "small", "--workers", n_workers)
        assert f"{N_SLOTS} of {N_SLOTS} slots done" in shown
    trials = decided(alone)
    assert trials == decided(together)

    stopped = {key: row for key, row in trials.items() if row["stopped_epoch"]}
    first_generation = [key for key in trials if key.startswith("search/") and int(key[-1]) < 3]
    assert stopped
    assert not set(stopped) & set(first_generation)
    assert all(key.startswith("search/") for key in stopped)
    assert {row["stopped_epoch"] for row in stopped.values()} <= {"1", "2"}
    assert all(row["reason"].startswith("stopped early after epoch") for row in stopped.values())

    phases = {phase["phase"]: phase for phase in alone.json("status", "--study", "small")["phases"]}
    assert (phases["search"]["done"], phases["search"]["stopped_early"]) == (N_SEARCH, len(stopped))
    assert phases["confirm"]["stopped_early"] == 0
    assert sum(int(row["stopped"]) for row in rows(alone, "rungs")) == len(stopped)

    whole = {key: row for key, row in trials.items() if key.startswith("search/") and key not in stopped}
    best = max(whole.values(), key=lambda row: float(row["val_auroc"]))
    confirmed = {row["param_ft_lr"] for key, row in trials.items() if key.startswith("confirm/")}
    assert confirmed == {best["param_ft_lr"]}

    storage = RDBStorage(alone.ablate("storage", "url").strip())
    names = optuna.get_all_study_names(storage)
    mirrored = [trial for name in names for trial in optuna.load_study(study_name=name, storage=storage).trials]
    assert {trial.user_attrs["slot"] for trial in mirrored if trial.state.name == "PRUNED"} == set(stopped)
    assert {trial.state.name for trial in mirrored} == {"COMPLETE", "PRUNED"}
    storage.scoped_session.remove()
    storage.engine.dispose()
