"""``ablate stop``, ``retry``, ``cancel``, ``seal`` and ``extend``: steer a study from any machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.option import (
    JsonOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    open_store,
    stored_study,
)
from ablate.cli.output import emit_json, emit_list, say, stderr
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
    app.command("extend")(extend)


def stop(study: StudyArgument = None, storage: StorageOption = None, study_option: StudyOption = None) -> None:
    """Ask every agent of a study to checkpoint its trial and end; ``ablate run`` goes on from there."""
    store = open_store(storage)
    name = stored_study(store, study, study_option)
    store.request_stop(name)
    say(f"{name}: agents are asked to stop; they checkpoint first")


def retry(study: StudyArgument = None, storage: StorageOption = None, study_option: StudyOption = None) -> None:
    """Give failed and cancelled slots new attempts."""
    store = open_store(storage)
    name = stored_study(store, study, study_option)
    say(f"{name}: {store.retry_failed(name)} slots wait for another attempt")


def cancel(study: StudyArgument = None, storage: StorageOption = None, study_option: StudyOption = None) -> None:
    """Give up every unfinished slot, also those being filled; ``ablate retry`` puts them back."""
    store = open_store(storage)
    name = stored_study(store, study, study_option)
    say(f"{name}: {store.cancel(name)} slots cancelled")


def seal(
    study: StudyArgument = None,
    storage: StorageOption = None,
    accept_incomplete: Annotated[
        bool, typer.Option("--accept-incomplete", help="Though search trials failed or were cancelled.")
    ] = False,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Seal a study whose search is over; print what is sealed. A complete search is sealed by itself."""
    from ablate.cli.wording import context_words
    from ablate.study.confirmation import Step, advance, seal_incomplete
    from ablate.study.plan import chain, contexts
    from ablate.study.spec import Spec

    store = open_store(storage)
    name = stored_study(store, study, study_option)
    spec = Spec.from_document(store.study(name).spec)
    if advance(store, spec) is Step.BLOCKED:
        _show_searches(store, spec)
        if not accept_incomplete:
            raise StoreError(
                f"{name}: its search is incomplete; `ablate retry {name}`, or seal it so with --accept-incomplete"
            )
        seal_incomplete(store, spec)
    sealed = store.study(name).seal
    if sealed is None:
        raise StoreError(f"{name}: cannot be sealed before its search is over; see `ablate status {name}`")
    if as_json:
        emit_json(sealed)
        return
    places = {
        chain(arm, context, search): (arm, context)
        for context in contexts(spec)
        for arm in spec.arms
        for search in range(spec.budget.searches)
    }
    rows = []
    for place, choice in sealed["chosen"].items():
        arm, context = places[place]
        score = "-" if choice["score"] is None else f"{choice['score']:.4f}"
        params = ", ".join(f"{key} {_number(value)}" for key, value in choice["params"].items())
        rows.append(
            {"arm": spec.title(arm), "context": context_words(context) or "-", "score": score, "params": params}
        )
    emit_list(rows)


def extend(
    replicates: Annotated[int, typer.Option(min=1, help="Blocks in all, more than are planned.")],
    study: StudyArgument = None,
    storage: StorageOption = None,
    study_option: StudyOption = None,
) -> None:
    """Add blocks after the last look where contrasts are open: a further look, with the error that was kept for it."""
    from ablate.study.extension import extend as extend_study
    from ablate.study.spec import Spec

    store = open_store(storage)
    name = stored_study(store, study, study_option)
    n_added = extend_study(store, Spec.from_document(store.study(name).spec), replicates)
    say(f"{name}: {n_added} trials are added, up to {replicates} blocks, for one further look; `ablate run {name}`")


def _show_searches(store: "Store", spec: "Spec") -> None:
    """What the seal would rest on, a line for each search; on standard error, for it is no result."""
    from ablate.study.tuning import tunings

    for one in tunings(store, spec, store.slots(spec.name)):
        whole = sum(past.is_whole for past in one.history)
        line = f"{one.place}: {whole} of {one.n_planned} search trials ran to their end, {one.n_missing} are missing"
        say(line, to=stderr)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
