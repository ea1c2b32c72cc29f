"""Study files: TOML from studies/ or a path, with overrides, read into a checked spec.

Where something is wrong, the error names the file, the key, the value, what was expected and what to do.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ablate import digest
from ablate.errors import SpecError
from ablate.study.spec import Spec
from ablate.study.wording import nearest


def load_spec(study: str, *, overrides: Sequence[str] = ()) -> Spec:
    """The spec of ``study``, a name in studies/ or a path, changed by ``key=value`` overrides.

    Overrides make another study, which gets a name of its own: the file's, ``@`` and a digest of the changes.

    Raises:
        SpecError: no such file, no TOML, or a key that cannot be used.
    """
    path = find_study(study)
    raw = _read(path)
    for override in overrides:
        _apply(raw, override)
    changed = f"@{digest.of_json(sorted(overrides))[:6]}" if overrides else ""
    raw["name"] = path.stem + changed
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        raise SpecError(f"{path}: {_explain(error)}") from error


def find_study(study: str) -> Path:
    """Path of a study file, given its name or its path.

    Raises:
        SpecError: neither is there.
    """
    given = Path(study)
    shipped = Path(__file__).parents[1] / "studies"
    folders = [Path("studies"), shipped if shipped.is_dir() else shipped.parents[1] / "studies"]
    candidates = [given] if given.suffix == ".toml" else [folder / f"{study}.toml" for folder in folders]
    for path in candidates:
        if path.is_file():
            return path
    names = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise SpecError(f"{candidates[0]}: no such study file{nearest(study, names)}; there are: {', '.join(names)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, as one line: key, value, what was expected, what to do."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *path, last = first["loc"]
        return f"{key}: unknown key{nearest(str(last), _known_keys(path))}; remove or rename it"
    if first["type"] == "missing":
        return f"{key}: is missing; add it"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
        return f"{key}.{text}" if key else text
    return f"{key} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _known_keys(path: Sequence[Any]) -> list[str]:
    model: Any = Spec
    for part in path:
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        if is_dataclass(annotation):
            return [field.name for field in fields(annotation)]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return [name for name in model.model_fields if (path or name != "name")]
