"""``ablate plan``: what a study will cost and what it can see, before it runs."""

import os
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

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
from ablate.cli.output import console, emit_json, emit_list, say
from ablate.cli.run import check_device
from ablate.cli.subject_check import check_subjects

if TYPE_CHECKING:
    from pathlib import Path

    from ablate.ecg.split import TaskData
    from ablate.store.store import Store
    from ablate.store.study_tables import StudyTables
    from ablate.study.estimate import Estimate
    from ablate.study.spec import Spec

_PILOT_RECORDS = 512
_SELDOM = 0.5
_SOURCES = {"pilot": "a pilot's", "past": "past trials'", "presumed": "presumed"}


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
    """Check all that a run needs; say what it costs, and the smallest difference that it can detect."""
    from ablate.ecg.cohort import open_cohort
    from ablate.ecg.split import load_task
    from ablate.study.cohort import prepare_cohort
    from ablate.study.estimate import estimate, pace_of

    spec = spec_of(named_study(study, study_option), set_ or (), storage)
    check_subjects(spec)
    check_device(None, is_here=True)
    folder = prepare_cohort(spec, data_dir=data, n_processes=os.cpu_count() or 1)
    task = load_task(open_cohort(folder), spec.data.task)
    store = open_store(storage)
    past = _past(spec, store)
    pace_s = None if past is None else pace_of(past, task)
    if pace_s is None and pilot:
        pace_s = _timed_pilot(spec, task)
    estimated = estimate(spec, task, pace_s=pace_s, past=past)
    n_workers = workers or os.cpu_count() or 1
    warnings = [*_updates(spec, estimated), *_unequal_to_margin(spec, estimated), *looked_before(spec, store)]
    weights_mb = _weights_mb(spec, len(task.classes))
    if as_json:
        emit_json(_document(spec, estimated, n_workers, folder, warnings, weights_mb))
    else:
        _show(spec, estimated, n_workers, folder, warnings, weights_mb)


def looked_before(spec: "Spec", store: "Store") -> list[str]:
    """A warning where other studies have opened the test labels that this one is planned on."""
    from ablate.report.ledger import readers_text
    from ablate.study.spec import DataSpec

    readers = [one for one in store.test_readers() if one.study != spec.name]
    alike = {
        one.labels
        for one in readers
        if spec.data.has_labels_of(DataSpec.model_validate(store.study(one.study).spec["data"]))
    }
    earlier = [one for one in readers if one.labels in alike]
    if not earlier:
        return []
    return [f"{readers_text(earlier)} looked at these test labels already; the errors of all of them add up"]


def _past(spec: "Spec", store: "Store") -> "StudyTables | None":
    """This study in the store, or else the latest one on the same data with the same encoder."""
    names, own = store.studies(), spec.document()
    for name in [spec.name, *reversed(names)]:
        if name not in names:
            continue
        stored = store.study(name).spec
        alike = all(stored.get(key) == own.get(key) for key in ("data", "encoder", "routine"))
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
    if spec.routine is not None:
        return _timed_own_pilot(spec, task, share)
    assert spec.encoder is not None
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


def _weights_mb(spec: "Spec", n_classes: int) -> float:
    """What the weights of all confirmed trials take in the store; with looks there may be fewer trials."""
    if spec.keep == "none":
        return 0.0
    from ablate.model.encoder import classifier_bytes
    from ablate.study.plan import confirming

    encoders = [spec.subject(slot.arm, slot.context).encoder for slot in confirming(spec)]
    named = [encoder.name for encoder in encoders if encoder is not None]
    return sum(classifier_bytes(name, n_classes) * named.count(name) for name in set(named)) / 1e6


def _timed_own_pilot(spec: "Spec", task: "TaskData", share: float) -> float:
    """The same for a routine of the user's own, with its usual params."""
    from ablate.outcome import OWN_STAGE
    from ablate.train.own_routine import train_own
    from ablate.train.routine import never, silent

    assert spec.routine is not None
    params = spec.hyper_parameters.complete({"data_fraction": share})
    console.print("timing a pilot trial …")
    outcome = train_own(spec.routine.pinned, task, params, seed=0, report=silent, stop=never)
    return outcome.seconds[OWN_STAGE] / outcome.n_train


def _document(
    spec: "Spec", estimated: "Estimate", n_workers: int, folder: "Path", warnings: list[str], weights_mb: float
) -> dict[str, object]:
    """For programs; times in seconds."""
    from ablate.cli.document import PlanDocument

    phases = []
    for phase, n_slots in estimated.slots.items():
        hours = estimated.hours[phase]
        worker_s = None if hours is None else hours * 3600
        wall_s = None if worker_s is None else worker_s / n_workers
        phases.append({"phase": phase, "slots": n_slots, "worker_s": worker_s, "wall_s": wall_s})
    document = {
        "study": spec.name,
        "arms": [{"arm": arm, "title": spec.title(arm)} for arm in spec.arms],
        "contexts": [dict(context) for context in _contexts(spec)],
        "contrasts": [{"contrast": each.name, "weights": each.weights()} for each in spec.contrasts],
        "workers": n_workers,
        "phases": phases,
        "prepared_mb": _prepared_mb(folder),
        "artifact_mb": estimated.artifact_mb,
        "weights_mb": weights_mb,
        "free_mb": _free_mb(),
        "updates": [asdict(each) for each in estimated.updates],
        "warnings": warnings,
        "sights": [asdict(each) for each in estimated.sights],
    }
    return PlanDocument.model_validate(document).model_dump(mode="json")


def _updates(spec: "Spec", estimated: "Estimate") -> list[str]:
    from ablate.study.update_count import unequal

    return unequal(spec, estimated.updates)


def _show(
    spec: "Spec", estimated: "Estimate", n_workers: int, folder: "Path", warnings: list[str], weights_mb: float
) -> None:
    from ablate.cli.progress import duration
    from ablate.cli.wording import PHASES, context_words

    say(f"{spec.name}: {spec.question}", "")
    emit_list([{"arm": arm, "that is": spec.title(arm)} for arm in spec.arms])
    contexts = [words for context in _contexts(spec) if (words := context_words(context))]
    say("", *([f"each with {' and with '.join(contexts)}"] if contexts else []))
    say(*(f"contrast: {each.name}" for each in spec.contrasts), "")
    rows = []
    for phase, n_slots in estimated.slots.items():
        hours = estimated.hours[phase]
        one, all_ = ("-", "-") if hours is None else (duration(hours * 3600), duration(hours * 3600 / n_workers))
        rows.append({"phase": PHASES[phase], "trials": n_slots, "one worker": one, f"{n_workers} workers": all_})
    emit_list(rows)
    say("")
    prepared_mb = _prepared_mb(folder)
    say(f"disk: {prepared_mb:.0f} MB of prepared records, {estimated.artifact_mb:.0f} MB of predictions in the store")
    if weights_mb:
        say(
            f"weights: {weights_mb:.1f} MB (about {round(weights_mb * 1e6):,} bytes) in the store, keep = {spec.keep!r}"
        )
    if _free_mb() < 2 * (prepared_mb + estimated.artifact_mb + weights_mb):
        say(f"warning: {settings.home()} has {_free_mb():.0f} MB free; set ABLATE_HOME to another disk")
    if None in estimated.hours.values():
        same = "routine" if spec.routine else "encoder"
        say(f"time: no past trial of this data and {same}; --pilot times one")
    if spec.budget.is_until_settled:
        first, most = spec.budget.first_trials, spec.budget.most_trials
        say(f"search: counted with the first {first} trials of each arm; goes on until it is settled, {most} at most")
    say(*(f"warning: {each}" for each in warnings))
    if estimated.sights:
        _show_sights(spec, estimated)
    say(f"home: {settings.home()}")


def _contexts(spec: "Spec") -> "list[dict[str, Any]]":
    from ablate.study.plan import contexts

    return contexts(spec)


def _prepared_mb(folder: "Path") -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def _free_mb() -> float:
    return shutil.disk_usage(settings.home()).free / 1e6


def _show_sights(spec: "Spec", estimated: "Estimate") -> None:
    """A row for each context: what one contrast there can expect, and from which spreads that is known."""
    from ablate.cli.wording import context_words

    say(
        "",
        "what the confirmation can see, of the contrast that varies most, by macro AUROC and itself alone:",
    )
    emit_list(
        [
            {
                "context": context_words(sight.context) or "-",
                "spreads": _SOURCES[sight.source],
                "80 % power at": f"{sight.detectable:.4f}",
                f"found at {spec.margin.auroc:g}": f"{100 * sight.found_at_margin:.0f} %",
                "equal arms called so": f"{100 * sight.equivalent:.0f} %",
                "blocks if equal": f"{sight.blocks_if_equal:.1f}{_hours(sight.hours_if_equal)}",
                "if so large": f"{sight.blocks_if_detectable:.1f}{_hours(sight.hours_if_detectable)}",
            }
            for sight in estimated.sights
        ]
    )


def _hours(hours: float | None) -> str:
    from ablate.cli.progress import duration

    return "" if hours is None else f" ({duration(hours * 3600)})"


def _unequal_to_margin(spec: "Spec", estimated: "Estimate") -> list[str]:
    """A warning where equal arms would mostly stay undecided."""
    from ablate.cli.wording import context_words

    return [
        f"{context_words(sight.context) or 'the confirmation'}: by {_SOURCES[sight.source]} spreads, those of the "
        f"contrast that varies most, equal arms would be called equivalent within {spec.margin.auroc:g} in "
        f"{100 * sight.equivalent:.0f} % of studies"
        for sight in estimated.sights
        if sight.equivalent < _SELDOM
    ]
