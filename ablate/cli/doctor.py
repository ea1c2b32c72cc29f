"""``ablate doctor``: whether this machine can do what will be asked of it, and what to do where it cannot."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate import settings
from ablate.cli.option import JsonOption, StorageOption, storage_address
from ablate.cli.output import emit
from ablate.errors import AblateError

if TYPE_CHECKING:
    from ablate.store.store import Store

PYTHONS = ((3, 11), (3, 14))  # from, below
LEAST_DISK_BYTES = 5 << 30
LEAST_SHARED_BYTES = 64 << 20
LARGEST_SKEW_S = 5.0
_PATIENCE_S = 5.0


class Health(StrEnum):
    """How grave it is."""

    GOOD = "ok"
    ODD = "look"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        remedy: what to do; empty where nothing is to be done.
    """

    what: str
    verdict: Health
    found: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("doctor")(doctor)


def doctor(storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Check Python, torch, devices, storage, clocks, disk and ports; exit status 1 where something is bad."""
    findings = examine(storage)
    emit([vars(finding) | {"verdict": str(finding.verdict)} for finding in findings], as_json=as_json)
    if any(finding.verdict is Health.BAD for finding in findings):
        raise typer.Exit(1)


def examine(storage: str | None) -> list[Finding]:
    """Every finding, in the order in which things are needed."""
    findings: list[Finding] = []
    for check in (check_python, check_torch, check_cores, check_home, check_shared_memory, check_ports):
        findings.extend(check())
    findings.extend(check_storage(storage))
    return findings


def check_python() -> Iterator[Finding]:
    """The interpreter's version."""
    first, beyond = (".".join(map(str, version)) for version in PYTHONS)
    good = PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]
    remedy = "" if good else f"install Python {first} or later, below {beyond}"
    yield Finding("python", Health.GOOD if good else Health.BAD, sys.version.split()[0], remedy)


def check_torch() -> Iterator[Finding]:
    """torch, what it can compute on, and whether it agrees with the driver about the devices."""
    from ablate.worker.device import visible_devices

    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", Health.BAD, f"cannot be imported: {error}", "install the pinned torch again")
        return
    yield Finding("torch", Health.GOOD, str(torch.__version__))
    there, usable = visible_devices(), torch.cuda.device_count()
    if len(there) == usable:
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(usable))
        yield Finding("devices", Health.GOOD, names or f"CPU only, {torch.backends.cpu.get_cpu_capability()}")
    else:
        remedy = "install a torch built for CUDA, or mend the driver" if usable < len(there) else "mend nvidia-smi"
        yield Finding("devices", Health.ODD, f"{len(there)} GPUs listed, torch sees {usable}", remedy)


def check_cores() -> Iterator[Finding]:
    """Cores that may be used, and threads that would fight over them."""
    n_cores = len(os.sched_getaffinity(0))
    yield Finding("cores", Health.GOOD, f"{n_cores} usable; as many --workers, one thread each, are the fastest")


def check_home() -> Iterator[Finding]:
    """The folder for everything that is kept, and its disk."""
    home = settings.home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".doctor-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        yield Finding("home", Health.BAD, f"{home}: cannot be written ({error.strerror})", "set ABLATE_HOME")
        return
    yield _space("disk", home, LEAST_DISK_BYTES, "free some space, or set ABLATE_HOME to another disk")
    waiting = len(list(home.glob("spool/*/*/*.result")))
    if waiting:
        remedy = "`ablate run` of their study tells them"
        yield Finding("spool", Health.ODD, f"{waiting} results wait to be told to their store", remedy)


def check_shared_memory() -> Iterator[Finding]:
    """The memory file system, which containers make small."""
    shared = Path("/dev/shm")  # noqa: S108 - only looked at
    if shared.is_dir():
        yield _space("shared memory", shared, LEAST_SHARED_BYTES, "start the container with --shm-size=1g")


def check_ports() -> Iterator[Finding]:
    """Whether a server on loopback can be had, which the managed Postgres and the dashboard need."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=2):
                yield Finding("ports", Health.GOOD, "127.0.0.1 can be listened on and reached")
    except OSError as error:
        yield Finding("ports", Health.BAD, f"127.0.0.1 cannot be used ({error.strerror})", "mend the loopback device")


def check_storage(given: str | None) -> Iterator[Finding]:
    """Whether the store answers, its schema, and its clock."""
    from ablate.store.store import Store

    try:
        store = Store(storage_address(given), patience_s=_PATIENCE_S)
    except AblateError as error:
        yield Finding("storage", Health.BAD, str(error), "see the message")
        return
    try:
        store.database.rows("SELECT 1")  # connecting takes its time
        before = time.time()
        rows = store.database.rows("SELECT extract(epoch FROM clock_timestamp())::float8 AS at, version() AS version")
        took_s = time.time() - before
        yield Finding("storage", Health.GOOD, f"{store.database.shown}: {rows[0].version.split(' on ')[0]}")
        yield _clocks(rows[0].at - before - took_s / 2)
        yield _schema(store)
    except AblateError as error:
        yield Finding("storage", Health.BAD, str(error), "see the message")
    finally:
        store.disconnect()


def _clocks(skew_s: float) -> Finding:
    """Leases live by the database's clock alone, so a wrong clock here is odd but harms nothing."""
    good = abs(skew_s) <= LARGEST_SKEW_S
    remedy = "" if good else "nothing depends on it, but set this machine's clock (NTP)"
    return Finding("clocks", Health.GOOD if good else Health.ODD, f"differ by {skew_s:+.2f} s", remedy)


def _schema(store: "Store") -> Finding:
    from ablate.store.schema_version import check, current

    version = store.database.transact(current)
    if version is None:
        return Finding("schema", Health.GOOD, "no tables yet; `ablate run` creates them")
    try:
        check(store.database, version)
    except AblateError as error:
        return Finding("schema", Health.BAD, str(error), "see the message")
    return Finding("schema", Health.GOOD, f"version {version}")


def _space(what: str, folder: Path, least_bytes: int, remedy: str) -> Finding:
    free = shutil.disk_usage(folder).free
    good = free >= least_bytes
    room = f"{folder}: {free / 2**30:.1f} GiB free"
    return Finding(what, Health.GOOD if good else Health.BAD, room, "" if good else remedy)
