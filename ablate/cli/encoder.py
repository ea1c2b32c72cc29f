"""``ablate encoder``: what encoders there are, what a checkpoint is, and how the shipped ones were made."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ablate.cli.option import JsonOption
from ablate.cli.output import console, emit, emit_json

app = typer.Typer(no_args_is_help=True)

SeedOption = Annotated[int, typer.Option("--seed", help="Of all randomness.")]


@app.command("list")
def list_encoders(as_json: JsonOption = False) -> None:
    """Every encoder that a study file can name."""
    import torch

    from ablate.model import catalogue, encoder

    rows = []
    for name in catalogue.names():
        with torch.device("meta"):
            network = encoder.build(name)
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
    as_json: JsonOption = False,
) -> None:
    """Check a checkpoint's keys, and what it computes against what is publicly noted of ECGFounder."""
    from ablate.model.inspection import inspect

    found = asdict(inspect(file, name=name))
    if as_json:
        emit_json(found)
        return
    emit([{"what": key, "value": _text(value)} for key, value in found.items()])


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ecgfounder or ecgfounder_1lead.")],
    as_json: JsonOption = False,
) -> None:
    """Download ECGFounder's checkpoint, or find it in the hub's cache, and check it."""
    from ablate.model import hub
    from ablate.model.inspection import inspect

    file = hub.fetch(name)
    found = inspect(file, name=name)
    if as_json:
        emit_json({"file": str(file), "digest": found.digest, "agrees": found.agrees})
        return
    console.print(f"{file}\ndigest {found.digest}, all {found.n_keys} keys fit {name}", highlight=False, soft_wrap=True)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "  ".join(f"{item:.4f}" for item in value)
    return "-" if value is None else str(value)
