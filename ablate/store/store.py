"""The store of studies: what agents, commands and reports call.

The truth lies in the tables of ``schema``; the Optuna study of the same name follows it (``mirror``) and is what
optuna-dashboard shows. Every call is retried through outages for ``patience_s`` and raises ``StoreUnavailable`` then.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ablate.domain import Domain
from ablate.ecg.seal import Permit
from ablate.outcome import Outcome, Progress
from ablate.store import artifact, lease, migration, optuna_mirror, read_only_role, study, test_read, twin
from ablate.store.database import PATIENCE_S, Database, to_json
from ablate.store.slot import Agent, Claim, Past, PlannedSlot, Slot, SlotState, Twin
from ablate.store.study import AgentRow, Counts, StudyRow

if TYPE_CHECKING:
    from ablate.store.study_tables import StudyTables

PHASES = ("search", "confirm")


@dataclass(frozen=True)
class Reconciled:
    """What ``reconcile`` found to mend.

    Attributes:
        n_reaped: slots taken back from agents that gave no sign of life.
        n_strayed: Optuna trials that were missing or in another state than their slot.
        n_mirrored: Optuna trials brought up to date, these and the ordinary ones.
    """

    n_reaped: int
    n_strayed: int
    n_mirrored: int


class Store:
    """Studies, slots and results in one Postgres database.

    At most three connections, one when at rest, none after ``disconnect`` until the next call.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, application_name: str = "ablate") -> None:
        self.database = Database(url, patience_s=patience_s, application_name=application_name)
        self._study_ids: dict[str, int] = {}

    def patient(self, patience_s: float) -> Self:
        """The same store over the same connections, with another patience."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.database = self.database.patient(patience_s)
        return other

    def create_schema(self) -> None:
        """Create all tables unless they are there; any number of processes may do so at once.

        Raises:
            StoreError: the tables are of another version.
        """
        migration.create(self.database)

    def upgrade_schema(self) -> tuple[str | None, str]:
        """Bring older tables to this version; gives the version before and after.

        Raises:
            StoreError: the tables are newer than this ablate.
        """
        return migration.upgrade(self.database)

    def read_only_url(self) -> str:
        """Address under a role that has only SELECT, on Optuna's tables too.

        Raises:
            StoreError: the store's user may not make such a role.
        """
        return read_only_role.read_only_url(self.database)

    def disconnect(self) -> None:
        """Close all connections; the next call opens one again."""
        self.database.disconnect()

    # Studies

    def register(
        self,
        name: str,
        spec: Mapping[str, Any],
        spec_digest: str,
        slots: Sequence[PlannedSlot],
        metric_names: Sequence[str] = ("val_auroc", "val_auprc"),
        *,
        space: Mapping[str, Domain] | None = None,
        max_attempts: int = 3,
    ) -> bool:
        """Store a study with all its slots, or find it there; True when it is new.

        Args:
            space: what is searched, for Optuna's eyes.

        Raises:
            StoreError: a study of this name has another spec; the message shows the keys that differ.
        """
        is_new = study.register(
            self.database, name, spec, spec_digest, slots,
            metric_names=metric_names, space=space or {}, max_attempts=max_attempts,
        )  # fmt: skip
        self.mirror(name)
        return is_new

    def studies(self) -> list[str]:
        """Names of all studies, oldest first."""
        return study.names(self.database)

    def study(self, name: str) -> StudyRow:
        """One study.

        Raises:
            StoreError: there is none of this name.
        """
        return study.read(self.database, name)

    def seal(self, name: str, document: Mapping[str, Any]) -> bool:
        """Fix what will be confirmed, before anybody reads the test fold; False when there is a seal, which stays."""
        return study.seal(self.database, self._study_id(name), document)

    def request_stop(self, name: str) -> None:
        """Ask all agents of the study, on any machine, to give their slots back and end."""
        study.set_stop(self.database, self._study_id(name), is_requested=True)

    def clear_stop(self, name: str) -> None:
        """Take the request to stop back."""
        study.set_stop(self.database, self._study_id(name), is_requested=False)

    def retry_failed(self, name: str) -> int:
        """Let failed and cancelled slots wait again with all their attempts; gives their number."""
        return study.retry_failed(self.database, self._study_id(name))

    def cancel(self, name: str) -> int:
        """Give up every unfinished slot, also those being filled; gives their number."""
        return study.cancel(self.database, self._study_id(name))

    # Slots

    def claim(self, name: str, agent: Agent, *, lease_s: float = 60.0, phases: Sequence[str] = PHASES) -> Claim | None:
        """Take the next open slot; None when there is none now: all finished, all leased, or the study is to stop.

        Open is a waiting slot whose chain has no unfinished slot of a lower generation, and in phase "confirm" only
        once the study is sealed.
        """
        return lease.claim(self.database, self._study_id(name), name, agent, lease_s=lease_s, phases=phases)

    def renew(self, claim: Claim, progress: Progress | None = None) -> bool:
        """Extend the lease and note the progress; True when the study was asked to stop.

        Raises:
            LeaseLost: the slot belongs to somebody else, is finished or was cancelled.
        """
        return lease.renew(self.database, claim, progress)

    def set_params(
        self,
        claim: Claim,
        params: Mapping[str, Any],
        *,
        rungs: Mapping[str, Any] | None = None,
        asked: str | None = None,
    ) -> None:
        """Store the params proposed for a claimed slot.

        Args:
            rungs: what it must reach to be trained to its end.
            asked: digest of all that it is asked for, by which other studies find it.

        Raises:
            LeaseLost: the slot belongs to somebody else.
        """
        lease.set_params(self.database, claim, params, rungs=rungs, asked=asked)

    def history(self, name: str, chain: str, below_generation: int) -> list[Past]:
        """The chain's finished slots of lower generations, ordered by index."""
        return study.history(self.database, self._study_id(name), chain, below_generation)

    def finish(self, claim: Claim, outcome: Outcome) -> None:
        """Store what came out of a slot, once and for all; telling it again changes nothing.

        Raises:
            LeaseLost: somebody else has or had the slot since: this result is dropped.
        """
        lease.finish(self.database, claim, outcome)

    def twins(self, name: str, asked: Sequence[str]) -> list[Twin]:
        """Finished slots of other studies that were asked for the same."""
        return twin.twins(self.database, self._study_id(name), asked)

    def reuse(self, claim: Claim, twin_id: int) -> None:
        """Fill a slot with the result of another study's, which it says for ever; telling it again changes nothing.

        Raises:
            LeaseLost: somebody else has or had the slot since, or the other has no result.
        """
        twin.reuse(self.database, claim, twin_id)

    def fail(self, claim: Claim, kind: str, message: str, *, counts: bool | None = None) -> SlotState:
        """End an attempt by failure; gives FAILED, or WAITING when it will be tried again.

        Args:
            kind: "diverged" and "bad_data" fail at once; "out_of_memory", "crashed" and "hung" count against the
                study's max_attempts; others ("preempted", "machine_lost", ...) do not.
            counts: overrides what ``kind`` says about counting.

        Raises:
            LeaseLost: the attempt was ended by somebody else.
        """
        return lease.fail(self.database, claim, kind, message, counts=counts)

    def release(self, claim: Claim, reason: str) -> None:
        """Give a slot back unfilled, at once and without blame.

        Raises:
            LeaseLost: the attempt was ended by somebody else.
        """
        lease.release(self.database, claim, reason)

    def reconcile(self, name: str, *, thorough: bool = False) -> Reconciled:
        """Mend what crashes left behind: slots of dead agents are taken back, Optuna's trials brought in line.

        Anybody may call it at any time; it does nothing twice.

        Args:
            thorough: compare each of Optuna's trials with its slot also when somebody did so just now.
        """
        study_id = self._study_id(name)
        return Reconciled(
            n_reaped=lease.reap(self.database, study_id),
            n_strayed=optuna_mirror.audit(self.database, study_id, every_s=0.0 if thorough else optuna_mirror.AUDIT_S),
            n_mirrored=optuna_mirror.mirror(self.database, study_id),
        )

    def mirror(self, name: str) -> int:
        """Let Optuna's trials follow, unless another process does it now; gives the number of trials changed."""
        return optuna_mirror.mirror(self.database, self._study_id(name))

    def counts(self, name: str) -> Counts:
        """How many slots stand where."""
        return study.counts(self.database, self._study_id(name))

    def slots(self, name: str) -> list[Slot]:
        """All slots in the order of the plan."""
        return study.slots(self.database, self._study_id(name))

    def agents(self, name: str) -> list[AgentRow]:
        """Agents that ever worked on the study, with what each does now."""
        return study.agents(self.database, self._study_id(name))

    def tables(self, name: str) -> "StudyTables":
        """Everything the store knows of the study, as it stood at one moment."""
        from ablate.store import snapshot  # noqa: PLC0415 - pandas takes long to import, and agents never need it

        return snapshot.tables(self.database, self._study_id(name))

    def retire(self, agent: Agent) -> None:
        """Note that an agent has ended in good order."""
        study.retire(self.database, agent)

    # The sealed test fold

    def open_test(self, claim: Claim) -> Permit:
        """Leave to read the test fold for one claimed confirmation slot, after writing it into the ledger.

        Raises:
            SealedError: the study is not sealed, or the slot is none of its confirmation.
            LeaseLost: the slot belongs to somebody else.
        """
        return test_read.open_test(self.database, claim)

    def test_reads(self, name: str) -> list[dict[str, Any]]:
        """Every opening of the test fold: slot_id, key, opened_at, agent."""
        return test_read.test_reads(self.database, self._study_id(name))

    # Artifacts

    def read_artifact(self, name: str, slot_id: int | None, artifact_name: str) -> bytes | None:
        """Content of an artifact of a slot, or of the study when ``slot_id`` is None; None when there is none."""
        return artifact.read(self.database, self._study_id(name), slot_id, artifact_name)

    def put_study_artifact(self, name: str, artifact_name: str, content: bytes) -> bool:
        """Keep ``content`` with the study; False when one of this name is there already, which stays."""
        return artifact.put(self.database, self._study_id(name), artifact_name, content)

    def packing(self, name: str, gpu: str) -> dict[str, Any] | None:
        """What a pilot of the study found on a GPU of this name, None where there was none."""
        content = self.read_artifact(name, None, artifact.PACKING + gpu)
        found: dict[str, Any] | None = None if content is None else json.loads(content)
        return found

    def keep_packing(self, name: str, packing: Mapping[str, Any]) -> None:
        """Keep what a pilot found, in place of an earlier one on a GPU of the same name, ``packing["gpu"]``."""
        content = to_json(packing).encode()
        artifact.replace(self.database, self._study_id(name), artifact.PACKING + packing["gpu"], content)

    def _study_id(self, name: str) -> int:
        if name not in self._study_ids:
            self._study_ids[name] = study.identify(self.database, name)
        return self._study_ids[name]
