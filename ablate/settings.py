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


def study_folders() -> list[Path]:
    """Where study files lie: in the working folder, and those that come with the package."""
    installed = Path(__file__).parent / "studies"
    return [Path("studies"), installed if installed.is_dir() else installed.parents[1] / "studies"]


def data_dir(given: Path | None = None, *, otherwise: Path | None = None) -> Path:
    """Folder of the records: PTB-XL in PhysioNet's layout, or that of a table.

    Args:
        given: by an option; ``ABLATE_DATA`` where None.
        otherwise: where neither names a folder.

    Raises:
        DataError: nothing names a folder.
    """
    named = given or os.environ.get("ABLATE_DATA") or otherwise
    if not named:
        raise DataError("where the records lie is not known: pass --data DIR or set ABLATE_DATA=DIR")
    return Path(named).expanduser().absolute()
