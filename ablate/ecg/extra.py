"""Libraries that only some formats need, and that are installed for those who have such files."""

from importlib import import_module
from pathlib import Path
from typing import Any

from ablate.errors import DataError

EXTRA = "formats"  # of the package; its name in pyproject.toml


def extra(module: str, path: Path) -> Any:
    """The library that reads ``path``.

    Raises:
        DataError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DataError(
            f"{path}: needs {module}, which is not installed; `pip install 'ablate-ecg[{EXTRA}]'` does it",
            kind="library",
        ) from error
