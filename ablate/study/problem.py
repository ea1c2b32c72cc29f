"""What is wrong with a study file: every problem at once, with its line and key, in our own words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablate.study.spec import Spec
from ablate.study.wording import nearest

_EXPECTED = {  # by the type of pydantic's error, as far as no limit belongs to it
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text in quotes", "list_type": "a list, [ … ]", "tuple_type": "a list, [ … ]",
    "dict_type": "a table", "model_type": "a table", "model_attributes_type": "a table", "dataclass_type": "a table",
    "mapping_type": "a table",
}  # fmt: skip
_LIMITS = {
    "greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"), "less_than_equal": ("le", "at most"),
    "too_short": ("min_length", "a number of entries of at least"),
}  # fmt: skip
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?")
_ASSIGNMENT = re.compile(r"""\s*([A-Za-z0-9_."'-]+(?:\s*\.\s*[A-Za-z0-9_."'-]+)*)\s*=""")


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that must be mended.

    Attributes:
        line: of the file, from 1; 0 where the key stands nowhere in it.
        text: what is wrong, what was expected and what to do.
    """

    line: int
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}{'' if self.text.startswith(' ') else ': '}{self.text}" if self.key else self.text


def problems_of(error: ValidationError, source: str = "") -> list[Problem]:
    """Every problem of a study; unknown keys come first, since a mistyped key is often missing elsewhere.

    Args:
        error: from validating the study's document.
        source: text of its file, for the lines.
    """
    by_place: dict[tuple[str, str], Problem] = {}
    lines = _lines_of(source)
    for each in sorted(error.errors(include_url=False), key=lambda each: each["type"] not in _UNKNOWN):
        for key, text in _told(each):
            by_place.setdefault((key, text), Problem(_line(lines, key), key, text))
    return list(by_place.values())


def _told(error: ErrorDetails) -> Iterator[tuple[str, str]]:
    """Key and text of an error; several where one of our own checks found several."""
    path = [str(part) for part in error["loc"] if not (isinstance(part, str) and part.endswith("]"))]
    if path[:1] == ["subjects"]:
        path[0] = "arms"  # where a study file has them
    key, kind, context = ".".join(path), error["type"], error.get("ctx") or {}
    if kind in _UNKNOWN:
        yield key, f"unknown key; remove or rename it{nearest(path[-1], known_keys(path[:-1]))}"
    elif kind == "missing":
        yield key, "is missing; add it"
    elif kind == "value_error":
        for line in str(context["error"]).splitlines():
            inner, colon, text = line.partition(": ")
            is_key = bool(colon) and " " not in inner
            yield (".".join(filter(None, (key, inner))), text) if is_key else (key, line)
    else:
        yield key, f" = {_shown(error['input'])}: expected {_expectation(kind, context)}"


def _expectation(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        return str(context["expected"])
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"{words} {context[name]:g}"
    return _EXPECTED.get(kind, "another value, see `ablate schema`")


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def known_keys(path: Sequence[str]) -> list[str]:
    """Keys of the table at ``path``; none where anything may be one."""
    model: Any = Spec
    for part in path:
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        model = next((each for each in (annotation, *get_args(annotation)) if _has_keys(each)), None)
        if model is None:
            return []
    if is_dataclass(model):
        return [field.name for field in fields(model)]
    return [name for name in model.model_fields if (path or name != "name")]


def _has_keys(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))


def _lines_of(source: str) -> dict[str, int]:
    """Line of each key and table of a TOML text; of a list of tables each one's, by its number."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, text in enumerate(source.splitlines(), 1):
        if header := _HEADER.fullmatch(text):
            table = _plain(header[1])
            if text.lstrip().startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}.{counts[table]}"
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(text):
            lines.setdefault(".".join(filter(None, (table, _plain(assignment[1])))), number)
    return lines


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _line(lines: Mapping[str, int], key: str) -> int:
    """Of ``key``, or of the nearest table around it that the file has."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key, 0)
