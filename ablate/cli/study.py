"""``ablate init``, ``check`` and ``schema`` for study files; ``studies``, ``diff`` and ``delete`` for stored ones."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate import atomic
from ablate.cli.completion import complete_study, remember_studies
from ablate.cli.option import (
    JsonOption,
    SetOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    named_study,
    open_store,
    stored_study,
)
from ablate.cli.output import emit_json, emit_list, say, stderr
from ablate.cli.wording import context_words
from ablate.errors import OptionError, SpecError

if TYPE_CHECKING:
    from ablate.cli.variant import StudyLine
    from ablate.study.template import Records

_NAMED = "A name in the store or in studies/, or the path of a study file."
QUESTION = "Which of these components is worth its cost in post-training?"


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (init, check, schema, studies, diff, delete):
        app.command(command.__name__)(command)


def init(
    name: Annotated[str | None, typer.Argument(help="Of the study; studies/NAME.toml is written.")] = None,
    question: Annotated[str | None, typer.Option(help="That the study answers.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="A source: synthetic, ptbxl, table, cinc2021, …")] = None,
    table: Annotated[str | None, typer.Option(help="Of own records, CSV or parquet.")] = None,
    path_column: Annotated[str | None, typer.Option(help="Of the table: the file of each record.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A column of labels; give it several times.")] = None,
    patient: Annotated[str | None, typer.Option(help="A column of patients; none: one record each.")] = None,
    rate: Annotated[float | None, typer.Option(min=1, help="Samples a second, where files do not say.")] = None,
    unit: Annotated[str | None, typer.Option(help="Of the samples, such as uV, where files do not say.")] = None,
    mapping: Annotated[str | None, typer.Option(help="Table of statement and class.")] = None,
    encoder: Annotated[str | None, typer.Option(help="See `ablate encoder list`.")] = None,
    component: Annotated[list[str] | None, typer.Option(help="A part of the recipe; give it several times.")] = None,
    budget: Annotated[str | None, typer.Option(help="small, usual or large.")] = None,
    context: Annotated[bool, typer.Option("--tenth", help="Ask with a tenth of the training data too.")] = False,
) -> None:
    """Write a commented study file that runs; asks on a terminal for what no option gives."""
    from ablate.model import catalogue
    from ablate.study.file import load_spec
    from ablate.study.spec import LISTED
    from ablate.study.template import BUDGETS, PARTS, SOURCES, template

    name = _asked("name of the study", name, "my_study")
    path = Path(name) if name.endswith(".toml") else Path("studies") / f"{name}.toml"
    if path.exists():
        raise OptionError(f"{path}: is there already; choose another name")
    source = _asked(f"data, of {', '.join(SOURCES)}", data, "synthetic")
    if source not in SOURCES:
        raise OptionError(f"--data {source}: expected {', '.join(SOURCES)}")
    records = _records(source, mapping, {"table": table, "path-column": path_column, "label": label,
                                         "patient": patient, "rate": rate, "unit": unit})  # fmt: skip
    encoder = _asked(f"encoder, of {', '.join(catalogue.names())}", encoder, "net1d_small")
    parts = component or _asked(f"components, of {', '.join(PARTS)}", None, "stochastic_depth,preview_probe").split(",")
    text = template(
        question=_asked("question", question, QUESTION),
        records=records,
        encoder=encoder,
        weights=_weights(encoder, source),
        parts=[part.strip() for part in parts],
        budget=_asked(f"budget, of {', '.join(BUDGETS)}", budget, "small"),
        context=context,
    )
    with tempfile.TemporaryDirectory() as scratch:  # what cannot be used is never written where studies lie
        trial = Path(scratch) / path.name
        trial.write_text(text, encoding="utf-8")
        load_spec(str(trial))
    atomic.write_text(path, text)
    where = "" if source == "synthetic" else " --data DIR"
    look = f"ablate data check --study {path}{where}, " if source in LISTED else ""
    named = path if name.endswith(".toml") else path.stem
    say(f"{path}: written; next: {look}ablate plan {named}{where}, ablate run {named}{where}")


def check(study: StudyArgument = None, set_: SetOption = None, study_option: StudyOption = None) -> None:
    """Say all that is wrong with a study file, with line and key; exit status 2 where something is."""
    from ablate.study.file import check_study, find_study

    named = named_study(study, study_option)
    path, problems = find_study(named), check_study(named, overrides=set_ or ())
    for problem in sorted(problems):
        say(f"{path}:{problem.line or 1}: {problem}", to=stderr)
    if problems:
        raise typer.Exit(SpecError.exit_status)
    say(f"{path}: can be run")


def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from ablate.study.spec import Spec

    document = Spec.model_json_schema()
    document["properties"].pop("name")  # the file's own
    document["required"].remove("name")
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **document})


def studies(
    state: Annotated[
        str | None, typer.Option(help="Only those that are new, running, stopped, done or failed.")
    ] = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every study of the store: what makes it another than its file, how far it is, when something last happened."""
    from ablate.cli.variant import STATES, study_lines

    if state not in (None, *STATES):
        raise OptionError(f"--state {state}: expected {', '.join(STATES)}")
    store = open_store(storage)
    lines = [line for line in study_lines(store) if state in (None, line.state)]
    remember_studies(store.studies())
    if as_json:
        from ablate.cli.document import studies_document

        emit_json(studies_document(lines).model_dump(mode="json"))
    for line in () if as_json else lines:
        _show(line)
    if not lines and not as_json:
        say("no study" if state is None else f"no study that is {state}")


def diff(
    one: Annotated[str, typer.Argument(help=_NAMED, autocompletion=complete_study)],
    other: Annotated[str, typer.Argument(help=_NAMED, autocompletion=complete_study)],
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keys in which two studies differ, and what that did to the arms that both have."""
    from ablate.cli.variant import changed_keys, document_of, scores_of, short

    store, names = open_store(storage), [one, other]
    documents = [document_of(name, store) for name in names]
    changed = changed_keys(*documents)
    scores = [scores_of(name, document, store) for name, document in zip(names, documents, strict=True)]
    both = [place for place in scores[0] if place in scores[1]]
    if as_json:
        from ablate.cli.document import diff_document

        emit_json(diff_document(names, changed, scores).model_dump(mode="json"))
        return
    for key, (before, after) in changed.items():
        say(f"{key}: {short(before)} → {short(after)}")
    if not changed:
        say("the same study")
    if both:
        emit_list(
            [
                {
                    "arm": ", ".join(filter(None, (arm, context_words(json.loads(context)) if context else ""))),
                    **_pair(names, scores, (arm, context)),
                }
                for arm, context in both
            ]
        )


def delete(
    study: StudyArgument = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: StorageOption = None,
    study_option: StudyOption = None,
) -> None:
    """Remove a study from the store with all its results; refused while agents work on it."""
    from ablate.store.slot import SlotState

    store = open_store(storage)
    name = stored_study(store, study, study_option)
    counts = store.counts(name)
    if not yes:
        if not sys.stdin.isatty():
            raise OptionError(f"{name}: deleting is for ever; confirm with --yes")
        typer.confirm(f"{name}: delete {counts.of(SlotState.DONE)} results for ever?", abort=True)
    store.delete(name)
    remember_studies(store.studies())
    say(f"{name}: deleted")


def _asked(what: str, given: str | None, default: str) -> str:
    """The option's value, what a terminal's user types, or the default where nobody can be asked."""
    if given is not None:
        return given
    return str(typer.prompt(what, default=default)) if sys.stdin.isatty() else default


def _records(source: str, mapping: str | None, own: "Mapping[str, Any]") -> "Records":
    """What the options say of the records, and for what they leave out the answers to questions.

    Args:
        source: where the records come from.
        mapping: table of statement and class, if one was named.
        own: values of the options that belong to own records, None where they were not given.

    Raises:
        OptionError: an option belongs to another source.
        DataError: the table is there, and lacks a column.
    """
    from ablate.study.spec import LISTED
    from ablate.study.template import Records

    stray = [option for option, value in own.items() if value and source != "table"]
    if stray or (mapping and source not in LISTED):
        option = stray[0] if stray else "mapping"
        raise OptionError(f"--{option}: does not belong to --data {source}; leave it out, or say --data table")
    if source not in LISTED:
        return Records(source)
    if source != "table":
        needs_one = source == "mimic_iv_ecg"
        what = "table of statement and class" + ("" if needs_one else ", or nothing")
        return Records(source, mapping=_asked(what, mapping, "classes.csv" if needs_one else "") or None)
    table = _asked("table, CSV or parquet", own["table"], "records.csv")
    patient = _asked("its column of patients, or none", own["patient"], "patient")
    records = Records(
        source,
        table=table,
        path=_asked("its column of files", own["path-column"], "path"),
        labels=own["label"] or [name.strip() for name in _asked("its columns of labels", None, "labels").split(",")],
        patient="" if patient == "none" else patient,
        rate_hz=own["rate"] or _number_asked("samples a second, 0 where files say it"),
        unit=own["unit"] or _asked("unit of the samples, nothing where files say it", None, "") or None,
        mapping=mapping,
    )
    _check_columns(records)
    return records


def _number_asked(what: str) -> float | None:
    """A number that is asked for on a terminal; None for 0."""
    return float(typer.prompt(what, default=0.0, type=float)) or None if sys.stdin.isatty() else None


def _check_columns(records: "Records") -> None:
    """See that the table has the columns, where it is in the working folder; elsewhere `ablate data check` does.

    Raises:
        DataError: it lacks one.
    """
    from ablate.ecg.table import read_table

    if Path(records.table).exists():
        columns = [records.path, *records.labels, *([records.patient] if records.patient else [])]
        remedy = "name its columns with --path-column, --label and --patient"
        read_table(Path(records.table), columns=columns, remedy=remedy)


def _weights(encoder: str, source: str) -> str:
    from ablate.model import catalogue

    shipped = catalogue.shipped(encoder) if catalogue.entry(encoder) is not None else ()
    wanted = "synthetic" if source == "synthetic" else "embedded"
    if wanted in shipped:
        return wanted
    return "12_lead_ECGFounder.pth" if encoder == "ecgfounder" else "random"


def _pair(names: list[str], scores: Sequence[Mapping[Any, float]], place: Any) -> dict[str, Any]:
    first, second = scores[0][place], scores[1][place]
    return {names[0]: round(first, 4), names[1]: round(second, 4), "difference": round(second - first, 4)}


def _show(line: "StudyLine") -> None:
    last = "" if line.active_at is None else f", last active {line.active_at:%Y-%m-%d %H:%M}"
    say(line.title)
    say(f"    {line.state}, {line.n_done} of {line.n_slots} done, created {line.created_at:%Y-%m-%d %H:%M}{last}")
    say(f"    {line.question}{' (asked of the values in the file, not of these)' if line.changed else ''}")
