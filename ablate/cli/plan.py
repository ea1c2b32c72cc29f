"""``ablate plan``: what a study will cost and what it can see, before it runs."""

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ablate import settings
from ablate.cli.option import (
    DataOption,
    JsonOption,
    SetOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    named_study,
    open_store,
    spec_of,
)
from ablate.cli.output import console, emit, emit_json
from ablate.cli.run import check_encoder

if TYPE_CHECKING:
    from pathlib import Path

    from ablate.ecg.split import TaskData
    from ablate.store.study_tables import StudyTables
    from ablate.study.estimate import Estimate
    from ablate.study.spec import Spec

_PILOT_RECORDS = 512


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("plan")(plan)


def plan(
    study: StudyArgument = None,
    workers: Annotated[int | None, typer.Option(min=1, help="For the time; as many as cores by default.")] = None,
    pilot: Annotated[bool, typer.Option("--pilot", help="Time a short trial where the store knows none.")] = False,
    data: DataOption = None,
    set_: SetOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Slots, hours and disk by phase, and the smallest difference that the confirmation can detect."""
    from ablate.ecg.cohort import open_cohort
    from ablate.ecg.split import load_task
    from ablate.study.cohort import prepare_cohort
    from ablate.study.estimate import estimate, pace_of

    spec = spec_of(named_study(study, study_option), set_ or (), storage)
    check_encoder(spec)
    folder = prepare_cohort(spec, data_dir=data, n_processes=os.cpu_count() or 1)
    task = load_task(open_cohort(folder), spec.data.task)
    past = _past(spec, storage)
    pace_s = None if past is None else pace_of(past, task)
    if pace_s is None and pilot:
        pace_s = _timed_pilot(spec, task)
    found = estimate(spec, task, pace_s=pace_s, past=past)
    n_workers = workers or os.cpu_count() or 1
    if as_json:
        emit_json(_document(spec, found, n_workers))
    else:
        _show(spec, found, n_workers, folder)


def _past(spec: "Spec", storage: str | None) -> "StudyTables | None":
    """This study in the store, or else the latest one on the same data with the same encoder."""
    store = open_store(storage)
    for name in [spec.name, *reversed(store.studies())]:
        if name not in store.studies():
            continue
        known = store.study(name).spec
        alike = known["data"] == spec.data.model_dump() and known["encoder"] == asdict(spec.encoder)
        if alike and not (tables := store.tables(name)).scores.empty:
            return tables
    return None


def _timed_pilot(spec: "Spec", task: "TaskData") -> float:
    """Seconds for a record's pass through training, from one short trial on one thread."""
    from ablate.study.estimate import EVALUATION
    from ablate.train.machine import Machine
    from ablate.train.params import Params
    from ablate.train.routine import post_train

    share = min(1.0, _PILOT_RECORDS / len(task.train_rows))
    params = Params.from_dict({"data_fraction": share, "ft_epochs": 2, "batch_size": 64})
    console.print("timing a pilot trial …")
    begun = time.monotonic()
    outcome = post_train(
        spec.encoder,
        task,
        params,
        seed=0,
        machine=Machine(precision=spec.encoder.precision),
        report=lambda _: None,
        features=None,
    )
    seconds = outcome.seconds.get("finetune", time.monotonic() - begun)
    return seconds / (params.ft_epochs * (outcome.n_train + EVALUATION * len(task.val_rows)))


def _rows(found: "Estimate", n_workers: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for phase, n_slots in found.slots.items():
        hours = found.hours[phase]
        wall = None if hours is None else hours / n_workers
        rows.append({"phase": phase, "slots": n_slots, "worker_hours": hours, f"hours_with_{n_workers}": wall})
    return rows


def _document(spec: "Spec", found: "Estimate", n_workers: int) -> dict[str, object]:
    from dataclasses import asdict

    sight = None if found.sight is None else asdict(found.sight)
    return {"study": spec.name, "phases": _rows(found, n_workers), "artifact_mb": found.artifact_mb, "auroc": sight}


def _show(spec: "Spec", found: "Estimate", n_workers: int, folder: "Path") -> None:
    emit(_rows(found, n_workers), title=f"{spec.name}: {spec.question}")
    prepared_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    lines = [f"disk: {prepared_mb:.0f} MB of prepared records, {found.artifact_mb:.0f} MB of predictions in the store"]
    if None in found.hours.values():
        lines.append("hours: no past trial of this data and encoder; --pilot times one")
    if found.sight is not None:
        lines += _sight(spec, found)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"home: {settings.home()}", markup=False, highlight=False, soft_wrap=True)


def _sight(spec: "Spec", found: "Estimate") -> list[str]:
    sight, margin = found.sight, spec.margin.auroc
    assert sight is not None
    source = "presumed spreads" if sight.is_presumed else "the spread of past trials"
    lines = [f"detectable with 80 % power ({source}): a macro AUROC difference of {sight.detectable:.4f}"]
    if sight.margin_at_best > margin:
        lines.append(
            f"warning: equivalence within {margin:g} is out of reach on this test fold whatever the budget; "
            f"{sight.margin_at_best:.4f} is the least margin that it can hold"
        )
    elif sight.margin > margin:
        lines.append(
            f"warning: equivalence within {margin:g} needs more blocks; with these, {sight.margin:.4f} can hold"
        )
    return lines
