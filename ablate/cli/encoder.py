"""``ablate encoder``: what encoders there are, what a checkpoint is, and how the shipped ones were made."""

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ablate import settings
from ablate.cli.option import DataOption, JsonOption, ThreadsOption
from ablate.cli.output import console, emit, emit_facts, emit_json
from ablate.errors import CheckpointError, SpecError

if TYPE_CHECKING:
    from ablate.ecg.ptbxl import PtbXl
    from ablate.pretrain.linear_probe import Comparison
    from ablate.pretrain.training import Contrastive, Supervised

    M = TypeVar("M", Contrastive, Supervised)

_N_SHOWN = 6  # names of a checkpoint in a line
PRETRAINING_COHORT = 1_000_003  # seed of the second synthetic cohort; no study may use it for its data

app = typer.Typer(no_args_is_help=True)

NameOption = Annotated[str, typer.Option("--encoder", help="Name in `ablate encoder list`.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of all randomness.")]


class Method(StrEnum):
    """How to pre-train."""

    CONTRASTIVE = "contrastive"
    SUPERVISED = "supervised"


@app.command("list")
def list_encoders(as_json: JsonOption = False) -> None:
    """Every encoder that a study file can name."""
    import torch

    from ablate.model import catalogue, encoder

    rows: list[dict[str, Any]] = []
    for name in catalogue.names():
        try:
            with torch.device("meta"):
                network = encoder.build(name)
        except SpecError as error:  # somebody's plug-in is broken, which is no reason not to list the others
            rows.append({"name": name, "takes": f"cannot be used: {error}", "weights": ""})
            continue
        length = f"{network.n_samples} samples" if network.n_samples else "any length"
        rows.append(
            {
                "name": name,
                "takes": f"{network.n_leads} leads, {network.fs_hz} Hz, {length}",
                "features": network.n_features,
                "parameters": sum(parameter.numel() for stage in network.stages() for parameter in stage),
                "weights": ", ".join((*catalogue.shipped(name), "random", "a file")),
            }
        )
    emit(rows, as_json=as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A .pth or .safetensors checkpoint.")],
    name: Annotated[str | None, typer.Option("--encoder", help="Which it should be; by default the nearest.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Under which the file holds them; else guessed.")] = None,
    strip: Annotated[str | None, typer.Option("--strip", help="What their names begin with; else guessed.")] = None,
    head: Annotated[str | None, typer.Option("--head", help="A head in the file, left out; else guessed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what of a checkpoint an encoder can use: what matched, what is missing, what was left over.

    Nothing in the file is executed. What ECGFounder's own checkpoint computes is compared with what is publicly noted.
    """
    from ablate.model.catalogue import WeightsFile
    from ablate.model.inspection import inspect

    inspection = inspect(file, name=name, wrapping=WeightsFile(str(file), key, strip, head))
    facts = asdict(inspection)
    if as_json:
        emit_json(facts)
    else:
        emit_facts({key: _text(value) for key, value in facts.items() if key != "problems"})
    if inspection.problems:
        raise CheckpointError(
            f"{file}: does not fit {inspection.encoder}, {len(inspection.problems)} names differ; "
            f"the first: {inspection.problems[0]}"
        )


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ecgfounder or ecgfounder_1lead.")],
    as_json: JsonOption = False,
) -> None:
    """Download ECGFounder's checkpoint, or find it in the hub's cache, and check it."""
    from ablate.model import hub
    from ablate.model.inspection import inspect

    file = hub.fetch(name)
    inspection = inspect(file, name=name)
    if inspection.problems:
        raise CheckpointError(f"{file}: does not fit {name}: {inspection.problems[0]}; fetch it again")
    if as_json:
        emit_json({"file": str(file), "digest": inspection.digest, "agrees": inspection.agrees})
        return
    console.print(
        f"{file}\ndigest {inspection.digest}, all {inspection.n_keys} keys fit {name}", highlight=False, soft_wrap=True
    )


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option("--out", help="FILE.safetensors; its recipe goes beside it.")],
    method: Annotated[Method, typer.Option("--method", help="Without labels on PTB-XL, or on a synthetic cohort.")],
    data: DataOption = None,
    name: NameOption = "net1d_small",
    n_epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="By default what the recipe says.")] = None,
    n_records: Annotated[int, typer.Option("--records", min=64, help="Of the synthetic cohort.")] = 8000,
    seed: SeedOption = 0,
    n_threads: ThreadsOption = 1,
) -> None:
    """Pre-train an encoder as the shipped ones were; the same seed and machine give the same bits."""
    import torch

    from ablate.ecg.preparation import open_cohort, prepare
    from ablate.ecg.synthetic import Synthetic
    from ablate.pretrain import recipe
    from ablate.pretrain.training import Contrastive, Supervised

    def report(epoch: int, n_epochs: int, loss: float) -> None:
        console.print(f"epoch {epoch}/{n_epochs}  loss {loss:.4f}", highlight=False)

    torch.set_num_threads(n_threads)
    if method is Method.CONTRASTIVE:
        cohort = open_cohort(prepare(_ptbxl(data), n_processes=n_threads))
        made = recipe.make_contrastive(name, cohort, _with(Contrastive(), n_epochs, seed), out, report=report)
    else:
        source = Synthetic(n_records, seed=PRETRAINING_COHORT)
        cohort = open_cohort(prepare(source, n_processes=n_threads))
        made = recipe.make_supervised(name, source, cohort, _with(Supervised(), n_epochs, seed), out, report=report)
    console.print(f"{made.weights}\n{made.recipe}\ndigest {made.digest}", highlight=False, soft_wrap=True)


@app.command()
def probe(
    data: DataOption = None,
    name: NameOption = "net1d_small",
    weights: Annotated[str, typer.Option("--weights", help="embedded, synthetic, random or a file.")] = "embedded",
    task: Annotated[str, typer.Option("--task", help="Task of the labels.")] = "superdiagnostic",
    data_fraction: Annotated[float, typer.Option("--data-fraction", help="Of the training records, by patient.")] = 0.1,
    n_seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of subsets.")] = 5,
    n_records: Annotated[int, typer.Option("--records", help="Of a synthetic cohort instead of PTB-XL.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of the synthetic cohort.")] = 1,
    n_threads: ThreadsOption = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Write the scores into the recipe beside the weights.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score an encoder by logistic regression on its features, beside the same encoder with random weights."""
    import torch

    from ablate.ecg.preparation import open_cohort, prepare
    from ablate.ecg.split import load_task
    from ablate.ecg.synthetic import Synthetic
    from ablate.model.catalogue import EncoderSpec, weights_file
    from ablate.pretrain import linear_probe, recipe

    torch.set_num_threads(n_threads)
    spec = EncoderSpec(name, weights)
    source = Synthetic(n_records, seed=seed) if n_records else _ptbxl(data)
    split = load_task(open_cohort(prepare(source, n_processes=n_threads)), task)
    rows = linear_probe.compare(spec, split, data_fraction=data_fraction, subset_seeds=range(n_seeds))
    file = weights_file(spec)
    if keep and file:
        place = f"{source.name}, {task}, {data_fraction:g} of the labels, fold 9"
        recipe.note(file, f"probe on {place}", [asdict(row) for row in rows])
    if as_json:
        emit_json([asdict(row) for row in rows])
        return
    title = f"{source.name}, {task}, {data_fraction:.0%} of the labels, validation fold, mean ± sd of {n_seeds} subsets"
    emit([_short(row) for row in rows], title=title)


def _short(row: "Comparison") -> dict[str, Any]:
    return {
        "weights": row.weights,
        "train records": row.n_train,
        "macro AUROC": f"{row.val_auroc:.4f} ± {row.val_auroc_sd:.4f}",
        "macro AUPRC": f"{row.val_auprc:.4f} ± {row.val_auprc_sd:.4f}",
    }


def _ptbxl(data: Path | None) -> "PtbXl":
    from ablate.ecg.ptbxl import PtbXl

    return PtbXl(settings.data_dir(data))


def _with(method: "M", n_epochs: int | None, seed: int) -> "M":
    schedule = replace(method.schedule, seed=seed)
    return replace(method, schedule=replace(schedule, n_epochs=n_epochs) if n_epochs else schedule)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        shown = [f"{item:.4f}" if isinstance(item, float) else str(item) for item in value[:_N_SHOWN]]
        more = [f"and {len(value) - _N_SHOWN} more"] if len(value) > _N_SHOWN else []
        return "  ".join([*shown, *more]) or "-"
    return "-" if value in (None, "") else str(value)
