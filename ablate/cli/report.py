"""``ablate report`` and ``ablate dashboard``: look at a study."""

import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate import settings
from ablate.cli.option import (
    JsonOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    open_store,
    stored_study,
)
from ablate.cli.output import console, emit_json, say, stderr
from ablate.errors import DataError, OptionError

if TYPE_CHECKING:
    from ablate.ecg.source import Source
    from ablate.study.spec import Spec


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("report")(report)
    app.command("dashboard")(dashboard)


def report(
    study: StudyArgument = None,
    out: Annotated[Path | None, typer.Option(help="Folder; reports/STUDY in ablate's home by default.")] = None,
    storage: StorageOption = None,
    partial: Annotated[bool, typer.Option("--partial", help="Give verdicts although slots have failed.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="A PDF too; needs Chromium.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Write the report page and its tables; while a study is going on, it says how much is missing."""
    from ablate.cli.summary import show_summary
    from ablate.report.dashboard import board
    from ablate.report.document import report_document
    from ablate.report.evidence import weigh
    from ablate.report.page import write_report
    from ablate.report.summary import summary
    from ablate.store.dashboard import publish

    store = open_store(storage)
    name = stored_study(store, study, study_option)
    evidence = weigh(store.tables(name), partial=partial)
    source = _records_here(evidence.study.spec)
    files = write_report(evidence, out or settings.home() / "reports" / name, pdf=pdf, source=source)
    shown = board(evidence)
    if store.database.may_write():
        publish(store, name, note=shown.note, search_note=shown.search_note, figures=shown.figures)
    else:
        stderr.print("the store takes no changes from this user; what the dashboard shows stays as it is")
    if as_json:
        document = report_document(evidence).model_dump(mode="json")
        emit_json(document | {"page": files.page, "tables": list(files.tables)})
        return
    show_summary(name, summary(evidence))
    say(f"report: {files.page}")
    if open_ and not webbrowser.open(Path(files.page).absolute().as_uri()):
        say("no browser can be started here; open the page by hand", to=stderr)


def _records_here(spec: "Spec") -> "Source | None":
    """The study's records, where this machine has them."""
    from ablate.study.cohort import source_of

    try:
        return source_of(spec)
    except DataError:
        return None


def dashboard(
    storage: StorageOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="The dashboard asks for no password: keep it on loopback.")] = "127.0.0.1",
    write: Annotated[bool, typer.Option("--write", help="Let the page change and delete studies.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name of this machine under which the page may be asked for.")
    ] = None,
) -> None:
    """Serve optuna-dashboard; read-only unless --write is given."""
    import bottle  # type: ignore[import-untyped]  # of optuna-dashboard
    from optuna_dashboard import wsgi

    from ablate.cli.allowed_host import guarded
    from ablate.store.dashboard import read_only
    from ablate.store.database import Database
    from ablate.store.read_only_role import read_only_url

    store = open_store(storage)
    database = store.database
    if not write and database.may_change():
        database = Database(read_only_url(database))
        os.environ.pop("PGPASSWORD", None)  # the store's own, which would outrank the reader's password file
    database.rows("SELECT")  # what is wrong with the address is said here
    pages = wsgi(database.optuna_storage())
    pages = guarded(pages if write else read_only(pages), [host, *(allow_host or ())])
    console.print(f"http://{host}:{port}/  ({'read and write' if write else 'read only'}; Ctrl-C ends it)")
    try:
        bottle.run(pages, host=host, port=port, quiet=True)
    except OSError as error:
        raise OptionError(f"--host {host} --port {port}: {error.strerror}; choose another") from error
