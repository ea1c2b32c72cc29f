"""Writes docs/report_json.md: every key of the report for programs, from its models. `python docs/report_json.py`."""

from pathlib import Path
from typing import Any

from ablate.report.document import VERSION, ReportDocument

PAGE = Path(__file__).with_suffix(".md")
OPENING = f"""# The report for programs

*Written by `python docs/report_json.py` from the models themselves; do not edit it by hand.*

`ablate report STUDY --json`, `ablate run … --json` and `report.json` beside the page hold the same document, version
{VERSION}: every figure and verdict as numbers and codes, not-a-number as null. The version grows when a key changes its
meaning or goes; new keys may come at any time, and sentences are for people. `ablate report --json` adds `page` and
`tables`, the paths of what it wrote.
"""


def page() -> str:
    """The whole document."""
    schema = ReportDocument.model_json_schema()
    parts = [
        ("The document", schema),
        *((_title(part), part) for part in schema["$defs"].values() if "properties" in part),
    ]
    return "\n".join([OPENING, *(_section(title, part, schema["$defs"]) for title, part in parts)])


def _title(part: dict[str, Any]) -> str:
    return str(part["description"]).partition("\n")[0].rstrip(".")


def _section(title: str, part: dict[str, Any], parts: dict[str, Any]) -> str:
    rows = [f"| `{key}` | {_kind(of, parts)} | {of.get('description', '')} |" for key, of in part["properties"].items()]
    return "\n".join([f"## {title}", "", "| key | value | meaning |", "|---|---|---|", *rows, ""])


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
    return {"boolean": "true or false", "integer": "whole number"}.get(of["type"], of["type"])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
