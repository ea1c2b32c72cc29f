"""How commands print: tables for people, JSON for programs, one way for all of them."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from ablate.document import finite

if TYPE_CHECKING:
    from rich.console import Console


_INDENT = 4
_SHORT_CELL = 20  # characters that are never wrapped


class _LateConsole:
    """A console of rich that is made when it is first used: `ablate -h` need not wait for it."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._console: Console | None = None

    @property
    def _made(self) -> "Console":
        if self._console is None:
            from rich.console import Console

            self._console = Console(**self._options)
        return self._console

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    def __enter__(self) -> "Console":
        return self._made.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._made.__exit__(*raised)


console = cast("Console", _LateConsole())
stderr = cast("Console", _LateConsole(stderr=True))


def say(*lines: str, to: "Console" = console) -> None:
    """Print lines for people as they are; a terminal wraps what is too long."""
    for line in lines:
        to.print(line, markup=False, highlight=False, soft_wrap=not to.is_terminal)


def emit(rows: Sequence[Mapping[str, Any]], *, title: str = "", as_json: bool = False) -> None:
    """Print ``rows``, equal keys in each, as a table, or as a JSON array with ``as_json``."""
    if as_json:
        emit_json(list(rows))
        return
    if title:
        console.print(title, highlight=False)  # a table's own title is broken at the table's width
    from rich.table import Table

    table = Table(header_style="bold")
    for name in rows[0] if rows else ():
        justify: Literal["left", "right"] = "right" if _is_number(rows[0][name]) else "left"
        table.add_column(name.replace("_", " "), justify=justify, overflow="fold")  # a long path is never cut
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def emit_list(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print ``rows``, equal keys in each, for people: a table, or below each other where it is too narrow for one.

    Only long cells are wrapped, at words.
    """
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    cells = [{name.replace("_", " "): _text(value) for name, value in row.items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in (cells[0] if cells else ())}
    if sum(min(width, _SHORT_CELL) + 2 for width in widths.values()) > console.width:
        for row in cells:
            (_, title), *others = row.items()
            console.print(Text(title))
            said = [f"{name} {value}" for name, value in others if value not in ("", "-")]
            for line in _lines(said, width=console.width - _INDENT):
                console.print(Padding(Text(line), (0, 0, 0, _INDENT)))
        return
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name, key in zip(widths, rows[0] if rows else (), strict=True):
        justify: Literal["left", "right"] = "right" if _is_number(rows[0][key]) else "left"
        table.add_column(name, no_wrap=widths[name] <= _SHORT_CELL, justify=justify, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row.values()))
    console.print(table)


def _lines(parts: Sequence[str], *, width: int) -> list[str]:
    """``parts`` with commas between them, as many on a line as fit: none is broken that fits a line of its own."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f", {part}"
        else:
            lines[-1:] = [*(f"{line}," for line in lines[-1:]), part]
    return lines


def emit_facts(facts: Mapping[str, Any]) -> None:
    """Print one thing's facts for people, one a line and never cut: some are paths that are copied."""
    width = max(map(len, facts))
    for name, value in facts.items():
        line = f"{name.replace('_', ' '):<{width}}  {_text(value)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def emit_json(value: Any) -> None:
    """Print ``value`` as JSON; not-a-number becomes null, since JSON has no word for it."""
    json.dump(finite(value), sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
