"""Writes docs/commands.md: every command with its options, from the command line itself. `python docs/commands.py`."""

from collections.abc import Iterator
from pathlib import Path

import typer

from ablate.cli.main import app

PAGE = Path(__file__).with_suffix(".md")
OPENING = """# Commands

*Written by `python docs/commands.py` from the command line itself; do not edit it by hand.*

Exit status: 0 done, 1 slots failed or were cancelled or something is missing, 2 study file or command line, 3 data or
checkpoint, 4 store, 5 launching. Commands that print tables take `--json`.

| variable | names |
|---|---|
| `ABLATE_HOME` | the folder of all that ablate keeps: Postgres, prepared records, reports; `.ablate` by default |
| `ABLATE_STORAGE` | another Postgres, as `--storage` does |
| `ABLATE_DATA` | the folder of PTB-XL, as `--data` does |
"""


def page() -> str:
    """The whole document."""
    return "\n".join([OPENING, *(_section(name, command) for name, command in commands())])


def commands() -> Iterator[tuple[str, "typer.core.TyperCommand"]]:
    """Every command that does something, by its words without ``ablate``."""
    yield from _below(typer.main.get_command(app), ())


def _below(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, "typer.core.TyperCommand"]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(words), command  # type: ignore[misc]
        return
    for name, each in inner.items():
        yield from _below(each, (*words, name))


def _section(name: str, command: "typer.core.TyperCommand") -> str:
    rows = [f"| `{_spelling(each)}` | {_meaning(each)} |" for each in command.params if each.name != "help"]
    table = "\n".join(["", "| option | meaning |", "|---|---|", *rows, ""]) if rows else ""
    return f"## ablate {name}\n\n{' '.join((command.help or '').split()).replace('``', '`')}\n{table}"


def _spelling(param: object) -> str:
    opts = [opt for opt in getattr(param, "opts", []) if opt.startswith("--")]
    if not opts:
        return str(getattr(param, "metavar", None) or getattr(param, "name", "")).upper()
    is_flag = getattr(param, "is_flag", False)
    return opts[0] if is_flag else f"{opts[0]} {str(getattr(param, 'name', '')).strip('_').upper()}"


def _meaning(param: object) -> str:
    words = [str(getattr(param, "help", None) or "").rstrip(".")]
    if getattr(param, "required", False) and getattr(param, "opts", [""])[0].startswith("--"):
        words.append("needed")
    default = getattr(param, "default", None)
    if default not in (None, False, (), []) and not callable(default) and not getattr(param, "required", False):
        words.append(f"default {default}")
    return "; ".join(word for word in words if word).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
