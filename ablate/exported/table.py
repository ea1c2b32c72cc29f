"""Tables of predictions as files: CSV or parquet, by the suffix."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from ablate import atomic
from ablate.errors import OptionError

_SUFFIXES = (".csv", ".parquet")


def check_suffix(file: Path, option: str) -> None:
    """See that ``file`` says which kind of table it shall be, before anything is computed for it.

    Raises:
        OptionError: it does not.
    """
    if file.suffix.lower() not in _SUFFIXES:
        raise OptionError(f"{option} {file}: expected a name that ends with {' or '.join(_SUFFIXES)}")
    if file.is_dir():
        raise OptionError(f"{option} {file}: is a folder; expected the name of a file")


def class_columns(classes: Sequence[str], taken: Collection[str]) -> list[str]:
    """Names of the columns of probabilities; a class that is called like another column is told apart."""
    return [f"class {name}" if name in taken else name for name in classes]


def write_table(file: Path, frame: pd.DataFrame) -> None:
    """Write ``frame`` whole or not at all; numbers in CSV have all digits that tell them apart.

    Raises:
        DataError: the folder cannot be written.
    """
    if file.suffix.lower() == ".csv":
        atomic.write_text(file, frame.to_csv(index=False, lineterminator="\n"))
        return
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    atomic.write_bytes(file, buffer.getvalue())
