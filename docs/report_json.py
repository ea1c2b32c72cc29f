"""Writes docs/report_json.md: every key of the answers for programs. `python docs/report_json.py`."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ablate.cli.document import DiffDocument, PlanDocument, StatusDocument, StudiesDocument
from ablate.report.document import ReportDocument

PAGE = Path(__file__).with_suffix(".md")
DOCUMENTS: dict[str, type[BaseModel]] = {
    "The report": ReportDocument,
    "Status": StatusDocument,
    "Plan": PlanDocument,
    "Studies": StudiesDocument,
    "Diff": DiffDocument,
}
OPENING = """# Answers for programs

*Written by `python docs/report_json.py` from the models themselves; do not edit it by hand.*

Each document says in `document` which it is, and its `version` grows when a key changes its meaning or goes; new keys
may come at any time. Every figure and verdict is a number or a code, not-a-number is null, contexts are objects, and
sentences are for people. `ablate report STUDY --json`, `ablate run … --json` and `report.json` beside the page hold the
same document; `ablate report --json` adds `page` and `tables`, the paths of what it wrote.
"""


def page() -> str:
    """The whole document."""
    return "\n".join([OPENING, *(_document(title, model) for title, model in DOCUMENTS.items())])


def _document(title: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})
    inner = [_section(f"### {_title(part)}", part, parts) for part in parts.values() if "properties" in part]
    return "\n".join([_section(f"## {title}", schema, parts, opening=str(schema["description"])), *inner])


def _title(part: dict[str, Any]) -> str:
    return str(part["description"]).partition("\n")[0].rstrip(".")


def _section(heading: str, part: dict[str, Any], parts: dict[str, Any], *, opening: str = "") -> str:
    rows = [f"| `{key}` | {_kind(of, parts)} | {of.get('description', '')} |" for key, of in part["properties"].items()]
    said = [opening.replace("``", "`"), ""] if opening else []
    return "\n".join([heading, "", *said, "| key | value | meaning |", "|---|---|---|", *rows, ""])


def _kind(of: dict[str, Any], parts: dict[str, Any]) -> str:
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return (
            _kind(parts[name], parts)
            if "enum" in parts[name]
            else f"object: {_title(parts[name])[0].lower()}{_title(parts[name])[1:]}"
        )
    if "anyOf" in of:
        return " or ".join(_kind(one, parts) for one in of["anyOf"])
    if "enum" in of or "const" in of:
        return ", ".join(f"`{value}`" for value in of.get("enum", [of.get("const")]))
    if of.get("type") == "array":
        return f"list of {_kind(of['items'], parts)}"
    if isinstance(of.get("additionalProperties"), dict):
        return f"object of {_kind(of['additionalProperties'], parts)}"
    kind = of.get("type", "any value")
    return {"boolean": "true or false", "integer": "whole number"}.get(kind, kind)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
