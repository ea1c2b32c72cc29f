"""``ablate storage``: the managed Postgres, and the tables of any store."""

from typing import TYPE_CHECKING, Annotated

import typer

from ablate import settings
from ablate.cli.option import JsonOption, StorageOption, open_store, storage_address
from ablate.cli.output import console, emit_facts, emit_json

if TYPE_CHECKING:
    from ablate.store.postgres_server import Server

app = typer.Typer(no_args_is_help=True)


@app.command()
def start() -> None:
    """Start the managed Postgres, unless it is there, and print its address."""
    console.print(_server().ensure_running(), soft_wrap=True, highlight=False)


@app.command()
def stop() -> None:
    """Stop the managed Postgres; what it holds stays."""
    console.print("stopped" if _server().stop() else "was not running")


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show whether the managed Postgres is there, and where it lies."""
    server = _server().status()
    row = {
        "running": server.running,
        "pid": server.pid,
        "version": server.version,
        "disk_mb": round(server.disk_bytes / 1e6),
        "folder": str(server.folder),
        "url": server.url,
    }
    if as_json:
        emit_json(row)
    else:
        emit_facts(row)


@app.command()
def url(
    storage: StorageOption = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Of a role that has only SELECT.")] = False,
) -> None:
    """Print the address of the store, for optuna-dashboard or psql; it holds no password of ours."""
    address = storage_address(storage)
    if read_only:
        from ablate.store.read_only_role import read_only_url

        address = read_only_url(open_store(storage).database)
    console.print(address, soft_wrap=True, highlight=False)


@app.command()
def upgrade(storage: StorageOption = None) -> None:
    """Bring the tables of an older store to this version."""
    from ablate.store.store import Store

    before, after = Store(storage_address(storage)).upgrade_schema()
    console.print(f"tables of version {after}" + ("" if before == after else f", were {before or 'missing'}"))


def _server() -> "Server":
    from ablate.store.postgres_server import Server

    return Server(settings.home() / "postgres")
