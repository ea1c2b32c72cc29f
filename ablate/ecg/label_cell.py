"""Labels as tables hold them: 0 and 1 in any of the ways in which programs write them, or a list in one cell."""

import re

LIST_SEPARATORS = (";", "|", ",")

_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_SPLIT = re.compile(r"[;|,]")


def flag_of(cell: str) -> bool | None:
    """Whether a cell says yes; None where it says neither."""
    return _FLAGS.get(cell.lower())


def labels_of(cell: str) -> frozenset[str]:
    """The labels of a cell such as ``AF;LBBB`` or ``['AF', 'LBBB']``; an empty cell has none."""
    parts = (part.strip().strip("'\"").strip() for part in _SPLIT.split(cell.strip().strip("[](){}")))
    return frozenset(part for part in parts if part)
