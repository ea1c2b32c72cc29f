"""PTB-XL from PhysioNet, file by file: cut connections are taken up where they broke, and every file is verified."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    line = _Line(url.rstrip("/"), patience)
    with atomic.disk_errors(folder / CHECKSUMS), atomic.lock(folder / CHECKSUMS):
        (folder / f"{CHECKSUMS}.part").unlink(missing_ok=True)  # it has no checksum to tell whether it is still right
        line.fetch(CHECKSUMS, folder / CHECKSUMS)
        wanted = _wanted(folder / CHECKSUMS, rates_hz)
        return _fetch_all(line, folder, wanted, n_connections, progress)


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


def _fetch_all(
    line: "_Line", folder: Path, wanted: Mapping[str, str], n_connections: int,
    progress: Callable[[Status], None] | None,
) -> Status:  # fmt: skip
    n_done = 0
    with ThreadPoolExecutor(n_connections) as pool:
        going = [pool.submit(line.fetch, name, folder / name, sha256) for name, sha256 in wanted.items()]
        try:
            for future in as_completed(going):
                future.result()
                n_done += 1
                if progress is not None:
                    progress(Status(len(wanted), n_done, line.n_bytes))
        except BaseException:
            line.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return Status(len(wanted), n_done, line.n_bytes)


class _Broken(Exception):
    """The line broke or the server is busy: worth another attempt."""


@dataclass
class _Line:
    """A server and the connections to it, one for each thread."""

    url: str
    patience: Patience
    n_bytes: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _local: threading.local = field(default_factory=threading.local)
    _count: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, name: str, target: Path, sha256: str | None = None) -> None:
        """See that ``target`` is there and right; ``sha256`` None takes what the server sends."""
        if sha256 is not None and target.is_file() and digest.of_file(target) == sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        for is_last in (False, True):
            self._complete(name, part)
            if sha256 is None or digest.of_file(part) == sha256:
                os.replace(part, target)
                return
            part.unlink()  # a continued part of another version, or damage on the way: once more from the start
            if is_last:
                raise DataError(f"{self.url}/{name}: content is not what {CHECKSUMS} says; try later or another --url")

    def _complete(self, name: str, part: Path) -> None:
        """Ask for the rest of ``part`` until nothing is missing."""
        n_idle = 0
        while True:
            if self.stopped.is_set():
                raise DataError(f"{self.url}: stopped before {name}")
            before = part.stat().st_size if part.exists() else 0
            try:
                self._receive(name, part, before)
                return
            except _Broken as error:
                if part.exists() and part.stat().st_size > before:
                    n_idle = 0
                    continue
                n_idle += 1
                if n_idle >= self.patience.n_attempts:
                    raise DataError(f"{self.url}/{name}: cannot be fetched ({error}); repeat to continue") from error
                self.stopped.wait(self.patience.pause_s * 2 ** (n_idle - 1))

    def _receive(self, name: str, part: Path, n_there: int) -> None:
        headers = {"Range": f"bytes={n_there}-"} if n_there else {}
        with self._response(name, headers) as response:
            if response.status_code == 416:  # nothing after what we have: complete, or longer than the file now is
                return
            continued = response.status_code == 206 and _starts_at(response) == n_there
            with part.open("ab" if continued else "wb") as file:
                # not iter_content: what came before a cut would be lost with the piece that the cut left incomplete
                while piece := response.raw.read1(_PIECE_BYTES):
                    file.write(piece)
                    with self._count:
                        self.n_bytes += len(piece)

    @contextmanager
    def _response(self, name: str, headers: Mapping[str, str]) -> Iterator[Any]:
        """The server's answer, its troubles sorted into those that may pass and those that will not."""
        import requests  # noqa: PLC0415  (only here, and a quarter of a second)
        import urllib3  # noqa: PLC0415

        address = f"{self.url}/{name}"
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["Accept-Encoding"] = "identity"  # a compressed part cannot be continued
        try:
            with self._local.session.get(address, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
                if response.status_code in (408, 429) or response.status_code >= 500:
                    raise _Broken(f"the server answers {response.status_code}")
                if response.status_code not in (200, 206, 416):
                    raise DataError(f"{address}: the server answers {response.status_code}; check --url")
                yield response
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
        ) as error:
            raise DataError(f"{address}: is no address of a server; check --url") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Broken(type(error).__name__) from error


def _starts_at(response: Any) -> int:
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    start = span.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdigit() else -1
