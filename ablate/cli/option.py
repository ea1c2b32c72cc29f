"""Options that several commands share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate import settings

if TYPE_CHECKING:
    from ablate.store.store import Store

StudyOption = Annotated[str, typer.Option("--study", help="A name in studies/, or the path of a study file.")]
StorageOption = Annotated[
    str | None, typer.Option("--storage", help="Address of a Postgres; ABLATE_STORAGE; by default a managed one.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of PTB-XL; ABLATE_DATA.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value; makes another study with its own name.")]
SkipOption = Annotated[bool, typer.Option("--skip-damaged", help="Leave damaged records out; they are counted.")]
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


def study_name(study: str) -> str:
    """Name under which the store knows what ``--study`` gave: a path stands for its file's stem."""
    return Path(study).stem if study.endswith(".toml") else study
