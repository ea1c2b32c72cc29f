"""``ablate stop``, ``retry``, ``cancel`` and ``seal``: steer a study from any machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.option import JsonOption, StorageOption, StudyOption, open_store, study_name
from ablate.cli.output import console, emit_json, stderr
from ablate.errors import StoreError

if TYPE_CHECKING:
    from ablate.store.store import Store
    from ablate.study.spec import Spec


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("stop")(stop)
    app.command("retry")(retry)
    app.command("cancel")(cancel)
    app.command("seal")(seal)


def stop(study: StudyOption, storage: StorageOption = None) -> None:
    """Ask every agent of a study to checkpoint its trial and end; ``ablate run`` goes on from there."""
    open_store(storage).request_stop(study_name(study))
    console.print(f"{study_name(study)}: agents are asked to stop; they checkpoint first")


def retry(study: StudyOption, storage: StorageOption = None) -> None:
    """Give failed and cancelled slots new attempts."""
    n = open_store(storage).retry_failed(study_name(study))
    console.print(f"{study_name(study)}: {n} slots wait for another attempt")


def cancel(study: StudyOption, storage: StorageOption = None) -> None:
    """Give up every unfinished slot, also those being filled; ``ablate retry`` puts them back."""
    n = open_store(storage).cancel(study_name(study))
    console.print(f"{study_name(study)}: {n} slots cancelled")


def seal(
    study: StudyOption,
    storage: StorageOption = None,
    accept_incomplete: Annotated[
        bool, typer.Option("--accept-incomplete", help="Though search trials failed or were cancelled.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Seal a study whose search is over; print what is sealed. A complete search is sealed by itself."""
    from ablate.study.confirmation import Step, advance, seal_incomplete
    from ablate.study.spec import Spec

    store, name = open_store(storage), study_name(study)
    spec = Spec.from_document(store.study(name).spec)
    if advance(store, spec) is Step.BLOCKED:
        _show_searches(store, spec)
        if not accept_incomplete:
            raise StoreError(
                f"{name}: its search is incomplete; `ablate retry`, or seal it so with --accept-incomplete"
            )
        seal_incomplete(store, spec)
    sealed = store.study(name).seal
    if sealed is None:
        raise StoreError(f"{name}: cannot be sealed before its search is over; see `ablate status --study {name}`")
    if as_json:
        emit_json(sealed)
        return
    for place, choice in sealed["chosen"].items():
        console.print(f"{place}: {choice['params']}", highlight=False, soft_wrap=True)


def _show_searches(store: "Store", spec: "Spec") -> None:
    """What the seal would rest on, a line for each search; on standard error, for it is no result."""
    from ablate.study.tuning import tunings

    for one in tunings(store, spec, store.slots(spec.name)):
        whole = sum(past.is_whole for past in one.history)
        line = f"{one.place}: {whole} of {one.n_planned} search trials ran to their end, {one.n_missing} are missing"
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)
