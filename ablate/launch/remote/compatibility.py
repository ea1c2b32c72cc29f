"""What a machine says of itself before agents start on it, and whether several fit together."""

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from ablate.errors import LaunchError
from ablate.launch.remote.shared_folder import Token

_MISSING = "none"


@dataclass(frozen=True, kw_only=True)
class Site:
    """One machine.

    Attributes:
        python: version without the patch, which changes no score.
        torch: version, with what it was built for.
        has_folder: whether it sees the shared folder; true where there is none.
    """

    host: str
    python: str
    torch: str
    has_folder: bool = True


def look_around(token: Token | None) -> Site:
    """This machine; nothing heavy is imported."""
    return Site(
        host=socket.gethostname(),
        python=".".join(platform.python_version_tuple()[:2]),
        torch=_version("torch"),
        has_folder=token is None or token.is_here(),
    )


def require_alike(sites: Sequence[Site], *, token: Token | None = None, allow_mixed: bool = False) -> None:
    """See that the machines can work on one study together.

    Raises:
        LaunchError: one does not see the shared folder, or they differ in Python or torch and must not.
    """
    for site in sites:
        if not site.has_folder and token is not None:
            raise LaunchError(token.missing(site.host))
    for what in ("torch", "python"):
        host_by_value = {getattr(site, what): site.host for site in reversed(sites)}
        if _MISSING in host_by_value:
            raise LaunchError(
                f"{host_by_value[_MISSING]}: {what} is not installed there; install the same as elsewhere"
            )
        if len(host_by_value) > 1 and not allow_mixed:
            listed = ", ".join(f"{host} has {version}" for version, host in reversed(host_by_value.items()))
            raise LaunchError(
                f"machines differ in {what}: {listed}; install the same on all, or mix them with --allow-mixed"
            )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _MISSING
