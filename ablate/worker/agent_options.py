"""What an agent is told when it starts, and how it ends."""

from dataclasses import dataclass
from enum import StrEnum

from ablate.errors import LaunchError
from ablate.study.plan import CONFIRM, SEARCH

LEASE_S = 60.0
SHORTEST_LEASE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """One agent's task. Plain values: every launcher can hand it to a process on another machine.

    Attributes:
        storage: address of the store, without a password where it can be had from the environment or ~/.pgpass.
        data_dir: folder of PTB-XL on that machine; None is what ``ABLATE_DATA`` names there.
        device: "cpu", "cuda" or "cuda:N" (the N-th of the devices that this process may see).
        n_threads: of torch in the trainer; as many one-thread trainers as there are cores is the fastest.
        lease_s: a slot whose agent was silent for so long is given to another.
        renew_s: how often the agent says that it is alive; None is a third of the lease.
        hang_s: a trainer without any progress for so long is killed; must exceed the longest epoch.
        reuse: take results of other studies' slots that were asked for the same, instead of training.
        allow_mixed: fill slots of a study that was begun with other code.
    """

    study: str
    storage: str
    data_dir: str | None = None
    device: str = "cpu"
    n_threads: int = 1
    phases: tuple[str, ...] = (SEARCH, CONFIRM)
    lease_s: float = LEASE_S
    renew_s: float | None = None
    hang_s: float = 1800.0
    reuse: bool = False
    allow_mixed: bool = False

    def __post_init__(self) -> None:
        if self.lease_s < SHORTEST_LEASE_S:
            raise LaunchError(f"--lease {self.lease_s:g}: expected at least {SHORTEST_LEASE_S:g} seconds")
        if self.renewal_s > self.lease_s / 2:
            raise LaunchError(
                f"renewal every {self.renewal_s:g} s: a lease of {self.lease_s:g} s would run out between two; "
                f"expected at most {self.lease_s / 2:g}"
            )

    @property
    def renewal_s(self) -> float:
        """Seconds between two renewals."""
        return self.lease_s / 3 if self.renew_s is None else self.renew_s


class Ending(StrEnum):
    """Why an agent ended."""

    OVER = "nothing is left to do"
    STOPPED = "asked to stop"
    MADE_ROOM = "the GPU was too full for so many agents"
