"""Study files: TOML from studies/ or a path, with overrides, read into a checked spec.

Where something is wrong, the error names the file, the key, the value, what was expected and what to do.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate import digest, settings
from ablate.errors import SpecError
from ablate.study.problem import Problem, problems_of
from ablate.study.spec import DataSpec, Spec
from ablate.study.wording import nearest


def load_spec(study: str, *, overrides: Sequence[str] = ()) -> Spec:
    """The spec of ``study``, a name in studies/ or a path, changed by ``key=value`` overrides.

    Overrides make another study, which gets a name of its own: the file's, ``@`` and a digest of the changes.

    Raises:
        SpecError: no such file, no TOML, or a key that cannot be used.
    """
    path = find_study(study)
    spec, problems = _checked(path, overrides)
    if spec is None:
        first, more = problems[0], len(problems) - 1
        given = [override for override in overrides if first.key.startswith(override.partition("=")[0])]
        where = f"{path}, line {first.line}" if first.line else f"{path}"
        where = f"{path} with --set {given[0]}" if given else where
        rest = f" (and {more} more: `ablate check {study}`)" if more else ""
        raise SpecError(f"{where}: {first}{rest}")
    return spec


def load_data(given: Mapping[str, Any], *, overrides: Sequence[str] = ()) -> DataSpec:
    """What a study file would declare of its records under ``[data]``, without a study.

    Args:
        given: keys of ``[data]``.
        overrides: ``key=value`` each, that go before them.

    Raises:
        SpecError: a key cannot be used.
    """
    raw = dict(given)
    for override in overrides:
        _apply(raw, override)
    try:
        return DataSpec.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error)
        raise SpecError("; ".join(f"data.{problem}" for problem in problems)) from error


def check_study(study: str, *, overrides: Sequence[str] = ()) -> list[Problem]:
    """All that is wrong with a study file; nothing where it can be used.

    Raises:
        SpecError: no such file, or no TOML.
    """
    return _checked(find_study(study), overrides)[1]


def _checked(path: Path, overrides: Sequence[str]) -> tuple[Spec | None, list[Problem]]:
    text = _read(path)
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: is not TOML: {error}") from error
    for override in overrides:
        _apply(raw, override)
    changed = f"@{digest.of_json(sorted(overrides))[:6]}" if overrides else ""
    raw["name"] = path.stem + changed
    try:
        return Spec.model_validate(raw), []
    except ValidationError as error:
        return None, problems_of(error, text)


def find_study(study: str) -> Path:
    """Path of a study file, given its name or its path.

    Raises:
        SpecError: neither is there.
    """
    given = Path(study)
    folders = settings.study_folders()
    candidates = [given] if given.suffix == ".toml" else [folder / f"{study}.toml" for folder in folders]
    for path in candidates:
        if path.is_file():
            return path
    names = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise SpecError(f"{candidates[0]}: no such study file{nearest(study, names)}")


def shipped_study(name: str) -> Path:
    """A study file that comes with the package, whatever lies in the working folder."""
    return settings.study_folders()[-1] / f"{name}.toml"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not TOML: {error}") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise SpecError(f"--set {override}: expected key=value, such as budget.replicates=5")
    *path, last = key.split(".")
    table = raw
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SpecError(f"--set {override}: {part} is a value, not a table")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text
