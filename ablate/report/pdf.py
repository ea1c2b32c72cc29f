"""The page on paper: printed by a Chromium that is there already."""

import re
import shutil
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

from ablate import atomic
from ablate.errors import LaunchError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-pdf-header-footer",
    "--run-all-compositor-stages-before-draw",
    "--virtual-time-budget=20000",
)
PATIENCE_S = 300


def browser() -> str:
    """The first Chromium or relative of it on the path.

    Raises:
        LaunchError: there is none.
    """
    for name in BROWSERS:
        program = shutil.which(name)
        if program:
            return program
    raise LaunchError(
        f"--pdf: no browser found to print the page with; install one of {', '.join(BROWSERS[:3])}, or leave --pdf out"
    )


def print_page(page: Path, target: Path, *, stamped: datetime) -> None:
    """Print ``page`` to ``target``, with ``stamped`` as its time of making, so that equal pages give equal files.

    Raises:
        LaunchError: no browser, or it did not print.
    """
    command = browser()
    with tempfile.TemporaryDirectory() as scratch:
        printed = Path(scratch) / "page.pdf"
        address = f"{page.absolute().as_uri()}#print"
        call = [command, *SWITCHES, f"--user-data-dir={scratch}/profile", f"--print-to-pdf={printed}", address]
        try:
            done = subprocess.run(call, capture_output=True, timeout=PATIENCE_S, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:
            raise LaunchError(
                f"--pdf: {command} did not print {page} ({error}); print the page from a browser instead"
            ) from error
        if not printed.is_file():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise LaunchError(
                f"--pdf: {command} did not print {page} ({' '.join(last)}); print the page from a browser instead"
            )
        atomic.write_bytes(target, _stamp(printed.read_bytes(), stamped))


def _stamp(content: bytes, stamped: datetime) -> bytes:
    """Dates of the same length in place of the browser's clock."""
    date = f"{stamped:%Y%m%d%H%M%S}".encode()
    return re.sub(rb"(/(?:CreationDate|ModDate) \(D:)\d{14}", rb"\g<1>" + date, content)
