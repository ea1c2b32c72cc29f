"""How commands print: tables for people, JSON for programs, one way for all of them."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console()
stderr = Console(stderr=True)


def emit(rows: Sequence[Mapping[str, Any]], *, title: str = "", as_json: bool = False) -> None:
    """Print ``rows``, equal keys in each, as a table, or as a JSON array with ``as_json``."""
    if as_json:
        emit_json(list(rows))
        return
    if title:
        console.print(title, highlight=False)  # a table's own title is broken at the table's width
    table = Table(header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name.replace("_", " "), justify="right" if _is_number(rows[0][name]) else "left")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def emit_facts(facts: Mapping[str, Any]) -> None:
    """Print one thing's facts for people, one a line and never cut: some are paths that are copied."""
    width = max(map(len, facts))
    for name, value in facts.items():
        line = f"{name.replace('_', ' '):<{width}}  {_text(value)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def emit_json(value: Any) -> None:
    """Print ``value`` as JSON; not-a-number becomes null, since JSON has no word for it."""
    json.dump(_finite(value), sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
