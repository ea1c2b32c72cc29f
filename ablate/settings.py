"""What belongs to the machine, not to the study: folders and addresses, from the environment."""

import os
from pathlib import Path

from ablate.errors import DataError


def home() -> Path:
    """Folder of everything that ablate keeps: the managed Postgres, prepared arrays, spooled results, reports.

    ``ABLATE_HOME``, by default ``.ablate`` in the working folder.
    """
    return Path(os.environ.get("ABLATE_HOME") or ".ablate").expanduser().absolute()


def storage_url(given: str | None = None) -> str | None:
    """Address of the Postgres store, or None for the managed one."""
    return given or os.environ.get("ABLATE_STORAGE") or None


def data_dir(given: Path | None = None) -> Path:
    """Folder of PTB-XL in PhysioNet's layout.

    Raises:
        DataError: neither the option nor the environment names a folder.
    """
    named = given or os.environ.get("ABLATE_DATA")
    if not named:
        raise DataError("where PTB-XL lies is not known: pass --data DIR or set ABLATE_DATA=DIR")
    return Path(named).expanduser().absolute()
