"""``ablate data example``: records, a table and a study file to try own records with."""

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.output import say
from ablate.errors import OptionError

STUDY = "own_table"

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="To be made.")]
RecordsOption = Annotated[int, typer.Option("--n-records", min=200, max=20_000, help="How many records.")]


def example(folder: FolderArgument, n_records: RecordsOption = 800) -> None:
    """Write a small example of own records: arrays, the table that names them, and the study file own_table.toml."""
    from ablate import atomic
    from ablate.ecg.example import TABLE, write_example
    from ablate.study.file import shipped_study

    if folder.exists():
        raise OptionError(f"{folder}: is there already; name a folder that is not")
    with atomic.folder(folder.absolute()) as scratch:
        write_example(scratch, n_records=n_records)
        (scratch / f"{STUDY}.toml").write_text(shipped_study(STUDY).read_text(encoding="utf-8"), encoding="utf-8")
    say(
        f"{folder}: {n_records} records, {TABLE} and {STUDY}.toml",
        f"look at them:  ablate data check --study {folder}/{STUDY}.toml --data {folder}",
        f"train on them: ablate run {folder}/{STUDY}.toml --data {folder} --workers 2",
    )
