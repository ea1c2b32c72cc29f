"""Cells of a table as numbers and flags, keeping all that is wrong with them so that it can be said at once."""

from ablate.ecg.finding import Finding
from ablate.ecg.label_cell import flag_of
from ablate.ecg.table import Table


class CellReader:
    """Reads the cells of ``table``; what cannot be read has a value that is in nobody's way, and is in ``findings``."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.findings: list[Finding] = []

    def whole(self, row: int, heading: str, kind: str, otherwise: int) -> int:
        """A whole number, also where it was written with a decimal point; an empty cell is ``otherwise``."""
        text = self.table.rows[row][heading]
        try:
            number = float(text) if text else float(otherwise)
            if number == int(number) and abs(number) < 2**53:
                return int(number)
        except (ValueError, OverflowError):
            pass
        self.complain(row, heading, kind, "a whole number")
        return otherwise

    def flag(self, row: int, heading: str) -> bool:
        """Yes or no, in any of the ways in which programs write it."""
        flag = flag_of(self.table.rows[row][heading])
        if flag is None:
            self.complain(row, heading, "labels", "0 or 1")
        return bool(flag)

    def complain(self, row: int, heading: str, kind: str, expected: str) -> None:
        """Keep that a cell is not what was ``expected``."""
        shown = self.table.rows[row][heading][:60]
        self.findings.append(
            Finding(kind, f"{self.table.path}: line {self.line(row)} has {heading} = {shown!r}; expected {expected}")
        )

    def line(self, row: int) -> int:
        """Place of a row in the file."""
        return self.table.lines[int(row)]
