"""Options that several commands share, and what they stand for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate import settings
from ablate.cli.completion import complete_set, complete_study
from ablate.errors import OptionError, SpecError

if TYPE_CHECKING:
    from ablate.store.store import Store
    from ablate.study.spec import Spec

StudyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY",
        help="A name in studies/ or in the store, or the path of a study file.",
        show_default=False,
        autocompletion=complete_study,
    ),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", help="The same by an option.", autocompletion=complete_study)
]
StorageOption = Annotated[
    str | None, typer.Option("--storage", help="Address of a Postgres; ABLATE_STORAGE; by default a managed one.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of PTB-XL; ABLATE_DATA.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value; makes another study with its own name.", autocompletion=complete_set),
]
SkipOption = Annotated[bool, typer.Option("--skip-damaged", help="Leave damaged records out; they are counted.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Of torch; another number gives other last bits.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print the outcome only.")]

_FIRST_CONTACT_S = 10.0  # who mistyped an address should not wait as long as a study waits for a store it has known


def storage_address(given: str | None) -> str:
    """Address of the store; starts the managed Postgres where none is named.

    Raises:
        StoreError: the managed Postgres cannot be started.
    """
    from ablate.store.postgres_server import Server

    return settings.storage_url(given) or Server(settings.home() / "postgres").ensure_running()


def open_store(given: str | None) -> "Store":
    """The store with its tables in place.

    Raises:
        StoreError: it cannot be used.
    """
    from ablate.store.store import Store

    store = Store(storage_address(given))
    store.patient(_FIRST_CONTACT_S).create_schema()
    return store


def named_study(argument: str | None, option: str | None) -> str:
    """The study that was named, by position or by ``--study``.

    Raises:
        OptionError: there is none, or there are two.
    """
    if argument and option and argument != option:
        raise OptionError(f"{argument} and --study {option}: name one study")
    study = argument or option
    if not study:
        names = ", ".join(complete_study(""))
        raise OptionError(
            f"which study? Give its name or its file; there are: {names or 'none here, see `ablate init`'}"
        )
    return study


def study_name(argument: str | None, option: str | None) -> str:
    """Name under which the store knows the study that was named: a path stands for its file's stem."""
    study = named_study(argument, option)
    return Path(study).stem if study.endswith(".toml") else study


def stored_study(store: "Store", argument: str | None, option: str | None) -> str:
    """Name of a study that the store holds.

    Raises:
        OptionError: it holds none of this name.
    """
    from ablate.study.wording import nearest

    name, there = study_name(argument, option), store.studies()
    if name not in there:
        remedy = nearest(name, there) if there else "; it holds none yet, `ablate run` begins one"
        raise OptionError(f"study {name}: not in the store at {store.database.shown}{remedy}")
    return name


def spec_of(study: str, overrides: Sequence[str], storage: str | None) -> "Spec":
    """The spec of a study file, or of a study that only the store knows.

    Raises:
        SpecError: neither has such a study, or its file cannot be used.
    """
    from ablate.study.file import find_study, load_spec
    from ablate.study.spec import Spec

    try:
        find_study(study)
    except SpecError:
        if study.endswith(".toml") or overrides:
            raise
        store = open_store(storage)
        if study not in store.studies():
            raise
        return Spec.from_document(store.study(study).spec)
    return load_spec(study, overrides=overrides)
