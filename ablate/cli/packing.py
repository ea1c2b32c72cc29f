"""``ablate packing``: how many trainers a GPU is good for, measured with the study's own trials."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.option import (
    DataOption,
    JsonOption,
    SetOption,
    StorageOption,
    StudyArgument,
    StudyOption,
    named_study,
    open_store,
    spec_of,
)
from ablate.cli.output import console, emit, emit_json
from ablate.cli.run import PILOTING, begun, prepare_records, use_data

if TYPE_CHECKING:
    from ablate.launch.packing import Level, Packing

DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; the first GPU if there is one.")]
MostOption = Annotated[int | None, typer.Option(min=1, help="Most trainers to try; the cores for each GPU by default.")]

_GIB = 2**30


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("packing")(packing)


def packing(
    study: StudyArgument = None,
    data: DataOption = None,
    set_: SetOption = None,
    storage: StorageOption = None,
    device: DeviceOption = None,
    most: MostOption = None,
    seconds: Annotated[float, typer.Option(min=1, help="For which each number of trainers is measured.")] = 8.0,
    as_json: JsonOption = False,
    study_option: StudyOption = None,
) -> None:
    """Measure how many trainers should share a device; `ablate run` without --workers takes the answer."""
    from ablate.launch.packing import cores_for, packing_of
    from ablate.worker.device import deal, visible_devices

    use_data(data)
    (where,) = deal(1, device=device)
    spec = spec_of(named_study(study, study_option), set_ or (), storage)
    store = open_store(storage)
    cohorts = prepare_records(spec, quiet=as_json)
    n_devices = 1 if where == "cpu" else len(visible_devices())
    with begun(store, spec), console.status(PILOTING) if not as_json else contextlib.nullcontext():
        measured = packing_of(
            store, spec, cohorts, device=where, n_most=most or cores_for(n_devices), span_s=seconds, again=True
        )
    if as_json:
        emit_json(measured.document())
        return
    emit(level_rows(measured.levels))
    for line in advice(measured, n_devices=n_devices):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def level_rows(levels: "Sequence[Level]") -> list[dict[str, object]]:
    """A row for each number of trainers."""
    return [
        {
            "trainers": level.n_trainers,
            "steps_per_s": f"{level.steps_per_s:.1f}",
            "times_one": f"{level.steps_per_s / levels[0].steps_per_s:.2f}",
            "memory_gib": f"{level.used_bytes / _GIB:.1f} of {level.total_bytes / _GIB:.1f}",
        }
        for level in levels
    ]


def advice(packing: "Packing", *, n_devices: int) -> list[str]:
    """What to type, and why."""
    n = packing.n_trainers
    lines = [f"{n} to a device ({packing.gpu}): {packing.why}", f"ablate run … --workers {n * n_devices}"]
    if packing.gpu != "cpu":
        lines.append(f"on an engine: --gpus-per-worker {1 / n:.3g}")
    return lines
