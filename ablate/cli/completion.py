"""Shell completion: names of studies, and keys for ``--set``. Nothing heavy is imported and no database is asked."""

import contextlib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path

import typer

from ablate import settings
from ablate.document import flat

_NAMES = "study_names"  # in ablate's home: what the store held when a command last looked
# What a study may leave out, so that its file does not show it; a test holds them equal to the models.
DEFAULTED_KEYS = (
    "budget.generation", "budget.max_attempts", "budget.replicates", "budget.search_trials", "encoder.precision",
    "encoder.weights", "margin.auprc", "margin.auroc", "objectives.select", "search.early_stopping", "search.sampler",
    "seed",
)  # fmt: skip


def remember_studies(names: Iterable[str]) -> None:
    """Keep what the store holds for the next completion; a home that cannot be written does no harm."""
    try:
        settings.home().mkdir(parents=True, exist_ok=True)
        path = settings.home() / f".{_NAMES}-{os.getpid()}"
        path.write_text("\n".join(names))
        path.replace(settings.home() / _NAMES)
    except OSError:
        return


def complete_study(incomplete: str) -> list[str]:
    """Names of study files and of stored studies."""
    names = {path.stem for folder in settings.study_folders() for path in folder.glob("*.toml")}
    with contextlib.suppress(OSError):
        names.update((settings.home() / _NAMES).read_text().split())
    return sorted(name for name in names if name.startswith(incomplete))


def complete_set(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys of the study file that is named, arms among them, each with its "="."""
    if "=" in incomplete:
        return []
    study = str(ctx.params.get("study") or ctx.params.get("study_option") or "")
    keys = {*DEFAULTED_KEYS, *_keys_of(study.partition("@")[0])}
    return sorted(f"{key}=" for key in keys if key.startswith(incomplete))


def _keys_of(study: str) -> list[str]:
    named = [folder / f"{study}.toml" for folder in settings.study_folders()]
    paths = [Path(study)] if study.endswith(".toml") else named
    for path in paths:
        try:
            return [key for key, _ in flat(tomllib.loads(path.read_text(encoding="utf-8")))]
        except (OSError, ValueError):
            continue
    return []
