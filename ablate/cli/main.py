"""The ``ablate`` command: one line for a user's error, a traceback for a bug."""

import os
import sys
from typing import Annotated

import typer

from ablate import __version__
from ablate.cli import control, data, doctor, encoder, export, packing, plan, report, run, status, storage, study
from ablate.cli.output import stderr
from ablate.errors import AblateError

_INTERRUPTED = 130

app = typer.Typer(
    name="ablate",
    help="Finds out which part of a post-training recipe matters.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for group, text in (
    (storage, "The managed Postgres."),
    (data, "Records: fetch, prepare, look."),
    (encoder, "Encoders: list, verify, fetch, pre-train."),
):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2], help=text)

for commands in (study, plan, run, status, report, export, control, packing, doctor):
    commands.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ablate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None: ...


def main() -> None:
    """Entry point of the console script; exits with the status that ``errors`` documents."""
    try:
        app(prog_name="ablate")
    except AblateError as error:
        stderr.print(f"ablate: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as in `ablate status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
