"""``ablate stop``, ``retry``, ``cancel`` and ``seal``: steer a study from any machine."""

import typer

from ablate.cli.option import JsonOption, StorageOption, StudyOption, open_store, study_name
from ablate.cli.output import console, emit_json
from ablate.errors import StoreError


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


def seal(study: StudyOption, storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Seal a study now, if its search is over; print what is sealed."""
    from ablate.study.confirmation import advance
    from ablate.study.spec import Spec

    store, name = open_store(storage), study_name(study)
    advance(store, Spec.from_document(store.study(name).spec))
    sealed = store.study(name).seal
    if sealed is None:
        raise StoreError(f"{name}: cannot be sealed before its search is over; see `ablate status --study {name}`")
    if as_json:
        emit_json(sealed)
        return
    for place, choice in sealed["chosen"].items():
        console.print(f"{place}: {choice['params']}", highlight=False, soft_wrap=True)
