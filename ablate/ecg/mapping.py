"""A mapping table: under which class a statement counts. It joins codes of one collection, and those of two."""

from collections.abc import Collection as Values
from pathlib import Path

from ablate.ecg.table import read_table
from ablate.errors import DataError

COLUMNS = ("statement", "class")


def read_mapping(folder: Path, name: str, codes: Values[str]) -> dict[str, str]:
    """Class of each of ``codes`` that the table names; the others are no label.

    Args:
        folder: of the collection.
        name: of a CSV file with columns ``statement`` and ``class``, within the folder or in the working folder.
        codes: statements that there are.

    Raises:
        DataError: the table is missing, names a statement twice, or none that there is.
    """
    path = folder / name if (folder / name).exists() else Path(name)
    table = read_table(path, columns=COLUMNS, remedy=f"expected columns {' and '.join(COLUMNS)}")
    mapping: dict[str, str] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        statement, class_name = row["statement"], row["class"]
        if not statement or not class_name or statement in mapping:
            raise DataError(
                f"{path}: line {line} has statement = {statement!r}, class = {class_name!r}; "
                "expected both, and a statement once",
                kind="mapping",
            )
        mapping[statement] = class_name
    used = {code: mapping[code] for code in codes if code in mapping}
    if not used:
        there = ", ".join(sorted(codes))[:120]
        raise DataError(f"{path}: none of its statements is one of the records'; there are {there}", kind="mapping")
    return used
