"""Tables as people keep them: parquet, or CSV with blanks or a byte-order mark in headings, but never two meanings."""

import csv
import io
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ablate.ecg.regular_file import read_regular
from ablate.errors import DataError

_MOST_BYTES = 256 << 20
_BLANKS = " \t\r\n\u00a0\ufeff"  # the last two: a no-break space, and a byte-order mark in the middle of a file


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file by heading, without blanks around them; ``lines`` are the rows' places in the file."""

    path: Path
    headings: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]


def read_table(path: Path, *, columns: Collection[str], remedy: str) -> Table:
    """The table in ``path``, CSV in UTF-8 or by its suffix parquet, which must have ``columns``, each of them once.

    Args:
        path: of the file.
        columns: headings that are needed; others are read too.
        remedy: what to do where the file is no such table, as the end of the message.

    Raises:
        DataError: the file cannot be read as a table, lacks a column or has one twice, or a line has another number of
            cells than there are headings.
    """
    content = read_regular(path, most_bytes=_MOST_BYTES, remedy=remedy)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, content, columns, remedy)
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        headings = tuple(heading.strip(_BLANKS) for heading in next(reader, []))
        _check_headings(path, headings, columns, remedy)
        rows, lines = [], []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(headings):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(cells)} cells, the headings are {len(headings)}; {remedy}"
                )
            rows.append({name: cell.strip(_BLANKS) for name, cell in zip(headings, cells, strict=True)})
            lines.append(reader.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); {remedy}") from error
    return Table(path, headings, tuple(rows), tuple(lines))


def _read_parquet(path: Path, content: bytes, columns: Collection[str], remedy: str) -> Table:
    """The same cells that a CSV file would have; a list is written with semicolons."""
    import pyarrow as pa  # noqa: PLC0415 - a moment to import, and few need it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet ({error}); {remedy}") from error
    headings = tuple(name.strip(_BLANKS) for name in table.column_names)
    _check_headings(path, headings, columns, remedy)
    cells = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    rows = tuple(dict(zip(headings, row, strict=True)) for row in zip(*cells, strict=True))
    return Table(path, headings, rows, tuple(range(1, len(rows) + 1)))


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):  # how pandas writes an empty cell
        return ""
    return ";".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip(_BLANKS)


def _check_headings(path: Path, headings: tuple[str, ...], columns: Collection[str], remedy: str) -> None:
    for name in columns:
        if name not in headings:
            there = ", ".join(headings)[:120] or "nothing"
            raise DataError(f"{path}: column {name!r} is missing, the first line has {there}; {remedy}")
        if headings.count(name) > 1:
            raise DataError(f"{path}: column {name!r} is there twice; keep the one that is right")
