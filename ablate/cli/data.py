"""``ablate data``: check own records, fetch PTB-XL, prepare arrays, look at what is there."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate import settings
from ablate.cli.data_check import check
from ablate.cli.data_example import example
from ablate.cli.option import JsonOption, QuietOption, SkipOption
from ablate.cli.output import console, emit, emit_facts, emit_json
from ablate.cli.progress_bar import progress_bar
from ablate.errors import DataError, SpecError

if TYPE_CHECKING:
    from ablate.ecg.source import Source

app = typer.Typer(no_args_is_help=True)
app.command()(check)
app.command()(example)

FolderArgument = Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Folder of PTB-XL; ABLATE_DATA.")]
SyntheticOption = Annotated[bool, typer.Option("--synthetic", help="The embedded synthetic cohort, no folder.")]
RecordsOption = Annotated[int, typer.Option("--n-records", min=1, help="Size of the synthetic cohort.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the synthetic cohort.")]
RateOption = Annotated[int, typer.Option("--fs", help="Samples a second of the arrays: 100 or 500.")]
FromOption = Annotated[int | None, typer.Option("--from", help="Rate of the files to read, where it is another.")]
FilterOption = Annotated[str, typer.Option("--preprocessing", help="none or ecgfounder.")]


@app.command()
def prepare(
    folder: FolderArgument = None,
    synthetic: SyntheticOption = False,
    n_records: RecordsOption = 4000,
    seed: SeedOption = 0,
    fs_hz: RateOption = 100,
    from_hz: FromOption = None,
    preprocessing: FilterOption = "none",
    n_processes: Annotated[int | None, typer.Option("--processes", min=1, help="By default one for each core.")] = None,
    skip_damaged: SkipOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read, check, filter and scale every record once; at once where that is done already."""
    import os
    import time

    from ablate import digest
    from ablate.ecg.preparation import open_cohort
    from ablate.ecg.preparation import prepare as prepare_arrays

    source = _source(folder, synthetic, n_records, seed, from_hz)
    started = time.monotonic()
    with progress_bar("preparing", shown=not (quiet or as_json)) as advance:
        prepared = prepare_arrays(
            source,
            fs_hz=fs_hz,
            preprocessing=preprocessing,
            n_processes=n_processes or len(os.sched_getaffinity(0)),
            progress=advance,
            damaged="skip" if skip_damaged else "raise",
        )
    cohort = open_cohort(prepared)
    facts = {
        "folder": str(prepared),
        "records": len(cohort.ecg_id),
        "skipped": len(cohort.skipped),
        "fs_hz": cohort.fs_hz,
        "resampled_from_hz": cohort.resampled_from_hz,
        "preprocessing": cohort.preprocessing,
        "megabytes": round(cohort.signals.nbytes / 1e6),
        "digest": cohort.digest if as_json else cohort.digest[: digest.SHORT],
        "seconds": round(time.monotonic() - started, 2),
    }
    if as_json:
        emit_json(facts)
    else:
        emit_facts(facts)
        _tell_skipped(cohort.skipped, cohort.flat_leads, cohort.odd_leads)


@app.command()
def info(
    folder: FolderArgument = None,
    synthetic: SyntheticOption = False,
    n_records: RecordsOption = 4000,
    seed: SeedOption = 0,
    fs_hz: RateOption = 100,
    from_hz: FromOption = None,
    preprocessing: FilterOption = "none",
    skip_damaged: SkipOption = False,
    task: Annotated[str, typer.Option("--task", help="Whose classes to list.")] = "superdiagnostic",
    record: Annotated[int | None, typer.Option("--record", help="ecg_id of a record to draw on ECG paper.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where to draw it: a .html or .png file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Records of each task and split, how frequent each class is, which records were left out; or one record's plot."""
    from ablate.ecg.label_count import count_classes, count_tasks

    source = _source(folder, synthetic, n_records, seed, from_hz)
    records = source.records()
    if record is not None:
        _draw(source, records, record, fs_hz, out or Path(f"{source.name}_{record}.html"))
        return
    prepared = _prepared(source, fs_hz, preprocessing, skip_damaged)
    tasks = [asdict(row) for row in count_tasks(records)]
    classes = [asdict(row) for row in count_classes(records, task)]
    if as_json:
        n_patients = len(set(records.patient_id.tolist()))
        facts = {"source": source.name, "records": len(records.ecg_id), "patients": n_patients}
        emit_json({**facts, "tasks": tasks, "task": task, "classes": classes, "prepared": prepared})
        return
    emit(
        [_brief(row) for row in tasks],
        title=f"{source.name}: {len(records.ecg_id)} records; those with a label of each task",
    )
    emit(classes, title=f"positives of each class of task {task}")
    if prepared is None:
        console.print("not prepared yet: `ablate data prepare` does it", highlight=False)
        return
    console.print(f"prepared in {prepared['folder']}", highlight=False, soft_wrap=True)
    _tell_skipped(prepared["skipped"], prepared["flat_leads"], prepared["odd_leads"])


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ptbxl.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it.")],
    rates_hz: Annotated[
        list[int] | None, typer.Option("--fs", help="100 (the default), 500, or both, one --fs each.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="A mirror with PhysioNet's files.")] = None,
    n_connections: Annotated[int, typer.Option("--connections", min=1, max=32)] = 8,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Download PTB-XL 1.0.3 from PhysioNet; the same command again continues, and verifies what is there."""
    from ablate.ecg.download import PHYSIONET, fetch_ptbxl

    if name != "ptbxl":
        raise SpecError(f"{name!r} cannot be fetched; the one data set there is to fetch is ptbxl")
    with progress_bar("fetching", shown=not (quiet or as_json)) as advance:
        status = fetch_ptbxl(
            folder,
            rates_hz=tuple(rates_hz or (100,)),
            url=url or PHYSIONET,
            n_connections=n_connections,
            progress=lambda status: advance(status.n_done, status.n_files),
        )
    facts = {"folder": str(folder), **asdict(status)}
    if as_json:
        emit_json(facts)
    else:
        console.print(
            f"{folder}: {status.n_done} files, all verified; {status.n_bytes / 1e6:.1f} MB fetched", highlight=False
        )


def _source(folder: Path | None, synthetic: bool, n_records: int, seed: int, from_hz: int | None) -> "Source":
    from ablate.ecg.ptbxl import PtbXl
    from ablate.ecg.synthetic import Synthetic

    if synthetic and folder is not None:
        raise SpecError(f"{folder} and --synthetic exclude each other; give one of them")
    return Synthetic(n_records, seed) if synthetic else PtbXl(settings.data_dir(folder), files_hz=from_hz)


def _prepared(source: "Source", fs_hz: int, preprocessing: str, skip_damaged: bool) -> dict[str, Any] | None:
    """What the prepared folder says, or None where there is none that can be used."""
    from ablate.ecg.preparation import open_cohort, prepared_folder

    folder = prepared_folder(
        source, fs_hz=fs_hz, preprocessing=preprocessing, damaged="skip" if skip_damaged else "raise"
    )
    try:
        cohort = open_cohort(folder)
    except DataError:
        return None
    return {
        "folder": str(folder),
        "digest": cohort.digest,
        "resampled_from_hz": cohort.resampled_from_hz,
        "skipped": dict(cohort.skipped),
        "flat_leads": dict(cohort.flat_leads),
        "odd_leads": dict(cohort.odd_leads),
    }


def _brief(counts: dict[str, Any]) -> dict[str, Any]:
    """The row of a task with the three figures of its test positives in one column, to fit a terminal."""
    low, median, high = (counts.pop(f"test_positives_{name}") for name in ("min", "median", "max"))
    return {**counts, "test positives min / median / max": f"{low} / {median:g} / {high}"}


def _draw(source: "Source", records: Any, ecg_id: int, fs_hz: int, out: Path) -> None:
    from ablate.ecg.ecg_plot import plot_facts, plot_figure, write_figure

    facts = plot_facts(source, records, ecg_id=ecg_id, fs_hz=fs_hz)
    write_figure(plot_figure(facts), out)
    console.print(f"{facts.title}\ndrawn in {out}", highlight=False, soft_wrap=True)


def _tell_skipped(skipped: Any, flat_leads: Any, odd_leads: Any) -> None:
    if skipped:
        emit([{"ecg_id": key, "reason": reason} for key, reason in skipped.items()], title="left out")
    if flat_leads:
        rows = [{"ecg_id": key, "leads": " ".join(leads)} for key, leads in flat_leads.items()]
        emit(rows, title="kept, though some leads have no signal")
    if odd_leads:
        rows = [{"ecg_id": key, "does not hold": ", ".join(broken)} for key, broken in odd_leads.items()]
        emit(rows, title="kept, though limb leads contradict each other: are some swapped?")
