"""Fetching from a server on this machine that behaves as badly as servers do."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ablate.ecg.download import Patience, Status, fetch_ptbxl
from ablate.ecg.ptbxl import PtbXl
from ablate.errors import DataError

IMPATIENT = Patience(n_attempts=3, pause_s=0.01)
BIG = "records100/00000/00001_lr.dat"


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``cut_after`` bytes of a body it drops the line, ``answers`` come before anything else."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.cut_after = {}
        self.answers = {}
        self.ranges = True
        self.requests = Counter()
        self.starts = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: pytest.FixtureRequest, client_address: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests[name] += 1
        if self.server.answers.get(name):
            self._say(self.server.answers[name].pop(0), b"")
            return
        if name not in self.server.files:
            self._say(404, b"")
            return
        body, start = self.server.files[name], 0
        if self.server.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.server.starts.append((name, start))
            if start >= len(body):
                self._say(416, b"")
                return
        self._send(name, body, start)

    def _send(self, name: str, body: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        limit = self.server.cut_after.get(name)
        self.wfile.write(body[start : start + limit] if limit else body[start:])
        if limit and start + limit < len(body):
            self.close_connection = True

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: str) -> None:
        pass


@pytest.fixture
def server(pristine: Path) -> Iterator[Server]:
    files = {
        str(path.relative_to(pristine)): path.read_bytes()
        for path in pristine.rglob("*")
        if path.is_file() and (path.parent == pristine or "0000" in path.name)
    }
    sums = "".join(f"{hashlib.sha256(body).hexdigest()} {name}\n" for name, body in sorted(files.items()))
    server = Server({**files, "SHA256SUMS.txt": sums.encode()})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _fetch(server: Server, folder: Path, **choices: Callable[..., Any] | tuple[int, int]) -> Status:
    return fetch_ptbxl(folder, url=server.url, patience=IMPATIENT, n_connections=3, **choices)


def _arrived(server: Server, folder: Path, rates: tuple[str, str] = ("records100",)) -> bool:
    wanted = [name for name in server.files if name.startswith(rates) or name.endswith(".csv")]
    return all((folder / name).read_bytes() == server.files[name] for name in wanted)


def test_what_arrives_is_a_ptbxl(server: Server, tmp_path: Path) -> None:
    steps = []
    status = _fetch(server, tmp_path / "new" / "ptbxl", progress=steps.append)
    assert _arrived(server, tmp_path / "new" / "ptbxl")
    assert status.n_done == status.n_files == 2 + 2 * 9
    assert [step.n_done for step in steps] == list(range(1, 21))
    assert PtbXl(tmp_path / "new" / "ptbxl").read(1, 100).shape == (12, 1000)
    assert not list((tmp_path / "new").rglob("*.part"))
    assert not (tmp_path / "new/ptbxl/records500").exists()


def test_both_rates(server: Server, tmp_path: Path) -> None:
    assert _fetch(server, tmp_path, rates_hz=(100, 500)).n_files == 2 + 4 * 9
    assert _arrived(server, tmp_path, ("records100", "records500"))


def test_a_second_call_asks_for_the_checksums_only(server: Server, tmp_path: Path) -> None:
    _fetch(server, tmp_path)
    server.requests.clear()
    status = _fetch(server, tmp_path)
    assert dict(server.requests) == {"SHA256SUMS.txt": 1}
    assert status.n_done == status.n_files


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after[BIG] = 7000
    status = _fetch(server, tmp_path)
    assert _arrived(server, tmp_path)
    assert [start for name, start in server.starts if name == BIG] == [7000, 14000, 21000]
    assert status.n_bytes == sum(
        len(body) for name, body in server.files.items() if not name.startswith("records500")
    )  # nothing came twice


def test_cut_checksums_are_no_checksums(server: Server, tmp_path: Path) -> None:
    server.cut_after["SHA256SUMS.txt"] = 900
    assert _fetch(server, tmp_path).n_done == 20
    assert (tmp_path / "SHA256SUMS.txt").read_bytes() == server.files["SHA256SUMS.txt"]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / BIG).parent.mkdir(parents=True)
    (tmp_path / f"{BIG}.part").write_bytes(b"x" * 100)
    _fetch(server, tmp_path)
    assert _arrived(server, tmp_path)


@pytest.mark.parametrize("there", [b"not the beginning of it", b"x" * 24000, b"x" * 30000])
def test_a_wrong_part_is_thrown_away(server: Server, tmp_path: Path, there: bytes) -> None:
    (tmp_path / BIG).parent.mkdir(parents=True)
    (tmp_path / f"{BIG}.part").write_bytes(there)
    _fetch(server, tmp_path)
    assert _arrived(server, tmp_path)


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    _fetch(server, tmp_path)
    (tmp_path / BIG).write_bytes(b"damaged")
    _fetch(server, tmp_path)
    assert _arrived(server, tmp_path)


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.answers = {BIG: [503, 429], "ptbxl_database.csv": [500]}
    _fetch(server, tmp_path)
    assert _arrived(server, tmp_path)


def test_wrong_content_is_an_error_and_never_kept(server: Server, tmp_path: Path) -> None:
    server.files[BIG] = b"forged" * 4000
    with pytest.raises(DataError, match=rf"{BIG}: content is not what SHA256SUMS.txt says"):
        _fetch(server, tmp_path)
    assert server.requests[BIG] == 2
    assert not (tmp_path / BIG).exists()


def test_what_was_fetched_stays_when_it_fails_and_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.answers[BIG] = [503] * 3
    with pytest.raises(DataError, match=rf"{BIG}: cannot be fetched \(the server answers 503\); repeat to continue"):
        _fetch(server, tmp_path)
    assert (tmp_path / "ptbxl_database.csv").exists()
    server.requests.clear()
    _fetch(server, tmp_path)
    assert _arrived(server, tmp_path)
    assert server.requests["ptbxl_database.csv"] == 0


@pytest.mark.parametrize("name", ["SHA256SUMS.txt", BIG])
def test_a_missing_file_is_an_error_at_once(server: Server, tmp_path: Path, name: str) -> None:
    del server.files[name]
    with pytest.raises(DataError, match=rf"{name}: the server answers 404; check --url"):
        _fetch(server, tmp_path)
    assert server.requests[name] == 1


def test_nobody_listening_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be fetched \(ConnectionError\)"):
        fetch_ptbxl(tmp_path, url="http://127.0.0.1:9", patience=Patience(2, 0.01))
    with pytest.raises(DataError, match="is no address of a server"):
        fetch_ptbxl(tmp_path, url="nowhere", patience=IMPATIENT)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        (b"<html>hello</html>\n", "line 1 is '<html>hello</html>'; expected a SHA-256"),
        (b"a" * 64 + b" ../../etc/passwd\n", "line 1 is .*; expected a SHA-256 and a relative path"),
        (b"a" * 64 + b" scp_statements.csv\n", "does not list ptbxl_database.csv"[:13]),
        (
            b"a" * 64 + b" scp_statements.csv\n" + b"a" * 64 + b" ptbxl_database.csv\n",
            "lists no records in records100/",
        ),
    ],
)
def test_wrong_checksums_are_an_error(server: Server, tmp_path: Path, sums: bytes, message: str) -> None:
    server.files["SHA256SUMS.txt"] = sums
    with pytest.raises(DataError, match=message):
        _fetch(server, tmp_path)


def test_an_impossible_rate_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="PTB-XL has files at 100 and 500 Hz"):
        fetch_ptbxl(tmp_path, rates_hz=(250,))
