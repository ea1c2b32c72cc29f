"""``ablate data check``: read all records first, say all that is wrong at once, then prepare them or nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.option import JsonOption, QuietOption, SkipOption
from ablate.cli.output import console, emit, emit_facts, emit_json, say
from ablate.errors import DataError, OptionError

if TYPE_CHECKING:
    from ablate.ecg.collection_check import CollectionCheck
    from ablate.study.spec import DataSpec

_MOST_EXAMPLES = 3

TableArgument = Annotated[
    Path | None, typer.Argument(metavar="[TABLE]", help="CSV or parquet file with a line for each record.")
]
StudyOption = Annotated[str | None, typer.Option("--study", help="A study file, whose [data] says all the rest.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="key=value of [data], such as columns.patient=person; repeatable.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the records of --study; ABLATE_DATA.")]
ProcessesOption = Annotated[int | None, typer.Option("--processes", min=1, help="By default one for each core.")]


def check(
    table: TableArgument = None,
    study: StudyOption = None,
    set_: SetOption = None,
    data: DataOption = None,
    n_processes: ProcessesOption = None,
    skip_damaged: SkipOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read every record of a table, say all that is wrong at once, and prepare a cohort where nothing is."""
    import os

    from ablate.cli.progress_bar import progress_bar
    from ablate.ecg.collection import Collection
    from ablate.ecg.collection_check import check_collection
    from ablate.study.cohort import source_of_data

    declared = _declared(table, study, set_ or ())
    source = source_of_data(declared, data_dir=table.absolute().parent if table else data)
    if not isinstance(source, Collection):
        raise OptionError(f"{study}: its records are {declared.source}; `ablate data prepare` reads those")
    with progress_bar("reading", shown=not (quiet or as_json)) as advance:
        checked = check_collection(
            source, fs_hz=declared.fs_hz, preprocessing=declared.preprocessing, skip_damaged=skip_damaged,
            n_processes=n_processes or len(os.sched_getaffinity(0)), progress=advance,
        )  # fmt: skip
    if as_json:
        emit_json(_document(checked))
    else:
        _tell(checked, quiet=quiet)
    if checked.folder is None:
        raise typer.Exit(DataError.exit_status)


def _declared(table: Path | None, study: str | None, overrides: Sequence[str]) -> "DataSpec":
    """What is declared of the records: by the study file, or by the options alone."""
    from ablate.study.file import load_data, load_spec

    if study:
        return load_spec(study, overrides=[f"data.{override}" for override in overrides]).data
    if table is None:
        raise OptionError("which records? Give a table, or --study with a study file that names one")
    return load_data({"source": "table", "table": table.name}, overrides=overrides)


def _document(checked: "CollectionCheck") -> dict[str, Any]:
    findings = [{"kind": one.kind, "text": one.text, "fatal": one.is_fatal} for one in checked.findings]
    facts = _facts(checked) if checked.folder else {"records": checked.n_records}
    return {**facts, "findings": findings}


def _facts(checked: "CollectionCheck") -> dict[str, Any]:
    from ablate.ecg.cohort import open_cohort

    assert checked.folder is not None
    cohort = open_cohort(checked.folder)
    return {
        "records": len(cohort.ecg_id),
        "patients": len(set(cohort.patient_id.tolist())),
        "left_out": len(cohort.skipped),
        "contradicting_limb_leads": len(cohort.odd_leads),
        "flat_leads": len(cohort.flat_leads),
        "changes": dict(cohort.changes),
        "notes": list(cohort.notes),
        "folder": str(checked.folder),
    }


def _tell(checked: "CollectionCheck", *, quiet: bool) -> None:
    if checked.folder is None:
        _tell_findings(checked)
        return
    from ablate.ecg.cohort import open_cohort

    facts = _facts(checked)
    changes: Mapping[str, int] = facts.pop("changes")
    notes: Sequence[str] = facts.pop("notes")
    emit_facts(facts)
    for change, n in changes.items():
        say(f"{n} records {change}")
    for note in notes:
        say(f"note: {note}")
    cohort = open_cohort(checked.folder)
    if cohort.skipped and not quiet:
        emit([{"record": key, "reason": reason} for key, reason in cohort.skipped.items()], title="left out")
    if cohort.odd_leads and not quiet:
        rows = [{"record": key, "does not hold": ", ".join(broken)} for key, broken in cohort.odd_leads.items()]
        emit(rows, title="kept, though limb leads contradict each other: are some swapped?")


def _tell_findings(checked: "CollectionCheck") -> None:
    from ablate.ecg.finding import count_kinds

    fatal = [one for one in checked.findings if one.is_fatal]
    console.print(f"{len(fatal)} problems in {checked.n_records} records; nothing was prepared", highlight=False)
    for kind, n in count_kinds(fatal).items():
        say(f"{kind}: {n}")
        examples = [one.text for one in fatal if one.kind == kind]
        say(*(f"  {text}" for text in examples[:_MOST_EXAMPLES]))
        if n > _MOST_EXAMPLES:
            say(f"  and {n - _MOST_EXAMPLES} more; --json lists all")
    for one in checked.findings:
        if not one.is_fatal:
            say(f"note: {one.text}")
