"""PTB-XL from PhysioNet, file by file: cut connections are taken up where they broke, and every file is verified."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ablate import atomic, digest
from ablate.ecg.ptbxl import DATABASE, STATEMENTS
from ablate.ecg.source import RATES_HZ
from ablate.errors import DataError

PHYSIONET = "https://physionet.org/files/ptb-xl/1.0.3"
CHECKSUMS = "SHA256SUMS.txt"

_TABLES = (STATEMENTS, DATABASE)
_TIMEOUT_S = 30.0
_PIECE_BYTES = 1 << 16
_MAY_PASS = (408, 429, 500, 502, 503, 504)  # answers of a server that is busy


@dataclass(frozen=True)
class Status:
    """How far a download is, in files; ``n_bytes`` counts what came over the line this time."""

    n_files: int
    n_done: int
    n_bytes: int


@dataclass(frozen=True)
class Patience:
    """How often a file is asked for without a new byte, and how long the first pause is; later ones double."""

    n_attempts: int = 6
    pause_s: float = 1.0


def fetch_ptbxl(
    folder: Path,
    *,
    rates_hz: tuple[int, ...] = (100,),
    url: str = PHYSIONET,
    n_connections: int = 8,
    patience: Patience = Patience(),
    progress: Callable[[Status], None] | None = None,
) -> Status:
    """Bring ``folder`` to hold PTB-XL's tables and its records at these rates, each file as its checksum says.

    Files that are there and right are not asked for again; a part of a file is continued.

    Args:
        folder: made when it is not there.
        rates_hz: 100, 500 or both.
        url: of PhysioNet or of a mirror with the same files.
        n_connections: files that are asked for at once.
        patience: with a line that keeps breaking.
        progress: called after each file.

    Raises:
        DataError: the server does not answer, lacks a file, or sends another content than its checksum says; or the
            folder cannot be written. What was fetched stays, and the same call continues.
    """
    if not rates_hz or set(rates_hz) - set(RATES_HZ):
        raise DataError(f"rates {rates_hz} are not possible; PTB-XL has files at 100 and 500 Hz")
    sums = folder / CHECKSUMS
    fetch = partial(_fetch, _session(patience, n_connections), url.rstrip("/"), folder, patience=patience)
    with atomic.disk_errors(sums), atomic.lock(sums), ThreadPoolExecutor(n_connections) as pool:
        sums.with_name(f"{CHECKSUMS}.part").unlink(missing_ok=True)  # no checksum tells whether it is still right
        n_bytes = fetch(CHECKSUMS, None)
        wanted = _wanted(sums, rates_hz)
        going = [pool.submit(fetch, name, sha256) for name, sha256 in wanted.items()]
        try:
            for n_done, future in enumerate(as_completed(going), start=1):
                n_bytes += future.result()
                if progress is not None:
                    progress(Status(len(wanted), n_done, n_bytes))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Status(len(wanted), len(wanted), n_bytes)


def _wanted(path: Path, rates_hz: tuple[int, ...]) -> dict[str, str]:
    """Files to fetch, in the order to fetch them, with their SHA-256."""
    sums = {}
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        expected, _, name = text.strip().partition(" ")
        name = name.strip().lstrip("*").removeprefix("./")
        if len(expected) != 64 or not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DataError(f"{path}: line {number} is {text[:60]!r}; expected a SHA-256 and a relative path")
        sums[name] = expected.lower()
    folders = tuple(f"records{rate}/" for rate in rates_hz)
    records = [name for name in sums if name.startswith(folders) and name.endswith((".hea", ".dat"))]
    if missing := [name for name in _TABLES if name not in sums]:
        raise DataError(f"{path}: does not list {missing[0]}; expected the files of PTB-XL v1.0.3")
    if not records:
        raise DataError(f"{path}: lists no records in {' or '.join(folders)}; expected the files of PTB-XL v1.0.3")
    return {name: sums[name] for name in (*_TABLES, *sorted(records))}


def _session(patience: Patience, n_connections: int) -> Any:
    """Connections that ask a busy server again."""
    import requests  # noqa: PLC0415  (only here, and a quarter of a second)
    from urllib3.util import Retry  # noqa: PLC0415

    retry = Retry(
        patience.n_attempts - 1,
        backoff_factor=patience.pause_s,
        status_forcelist=_MAY_PASS,
        raise_on_status=False,
    )
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # a compressed part cannot be continued
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=n_connections, max_retries=retry))
    return session


def _fetch(session: Any, url: str, folder: Path, name: str, sha256: str | None, *, patience: Patience) -> int:
    """See that a file is there and right; gives the bytes that came. ``sha256`` None takes what the server sends."""
    target, part = folder / name, folder / f"{name}.part"
    if sha256 is not None and target.is_file() and digest.of_file(target) == sha256:
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    n_bytes = 0
    for _ in range(2):  # a continued part of another version, or damage on the way: once more from the start
        n_bytes += _complete(session, f"{url}/{name}", part, patience)
        if sha256 is None or digest.of_file(part) == sha256:
            os.replace(part, target)
            return n_bytes
        part.unlink()
    raise DataError(f"{url}/{name}: content is not what {CHECKSUMS} says; try later or another --url")


def _complete(session: Any, address: str, part: Path, patience: Patience) -> int:
    """Ask for the rest of ``part`` until nothing is missing; gives the number of bytes that came."""
    n_bytes = n_idle = 0
    while n_idle < patience.n_attempts:
        n_new, is_whole = _receive(session, address, part)
        n_bytes += n_new
        if is_whole:
            return n_bytes
        n_idle = 0 if n_new else n_idle + 1
    raise DataError(f"{address}: cannot be fetched (the line breaks); repeat to continue")


def _receive(session: Any, address: str, part: Path) -> tuple[int, bool]:
    """Bytes that came, all of them kept, and whether these are the last."""
    import urllib3  # noqa: PLC0415

    n_there, n_new = part.stat().st_size if part.exists() else 0, 0
    with _response(session, address, {"Range": f"bytes={n_there}-"} if n_there else {}) as response:
        if response.status_code == 416:  # nothing after what we have: complete, or longer than the file now is
            return 0, True
        continued = response.headers.get("Content-Range", "").startswith(f"bytes {n_there}-")
        with part.open("ab" if continued else "wb") as file:
            try:
                # not iter_content: what came before a cut would be lost with the piece that the cut left incomplete
                while piece := response.raw.read1(_PIECE_BYTES):
                    n_new += file.write(piece)
            except urllib3.exceptions.HTTPError:
                return n_new, False
    return n_new, True


def _response(session: Any, address: str, headers: Mapping[str, str]) -> Any:
    from requests import exceptions  # noqa: PLC0415

    try:
        response = session.get(address, headers=headers, stream=True, timeout=_TIMEOUT_S)
    except (exceptions.InvalidURL, exceptions.MissingSchema, exceptions.InvalidSchema) as error:
        raise DataError(f"{address}: is no address of a server; check --url") from error
    except exceptions.RequestException as error:
        raise DataError(f"{address}: cannot be fetched ({type(error).__name__}); repeat to continue") from error
    if response.status_code in (200, 206, 416):
        return response
    response.close()
    answer = f"the server answers {response.status_code}"
    if response.status_code in _MAY_PASS:
        raise DataError(f"{address}: cannot be fetched ({answer}); repeat to continue")
    raise DataError(f"{address}: {answer}; check --url")
