"""The store of studies: what agents, commands and reports call.

The truth lies in the tables of ``schema``; Optuna studies follow it (``optuna_mirror``) and are what
optuna-dashboard shows. Every call is retried through outages for the store's patience and raises ``StoreUnavailable``
then.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.errors import StoreError
from ablate.store.artifact import Artifacts
from ablate.store.migration import Schema
from ablate.store.optuna_mirror import OptunaMirror
from ablate.store.study import Studies
from ablate.store.test_read import TestFoldLedger
from ablate.store.twin import Twins

if TYPE_CHECKING:
    from ablate.store.study_tables import StudyTables, TestReader


_MIRROR_S = 0.5  # of one ``reconcile``: who calls it may be wanted for a claim


@dataclass(frozen=True)
class Reconciled:
    """What ``reconcile`` found to mend.

    Attributes:
        n_reaped: slots taken back from agents that gave no sign of life.
        n_mirrored: slots whose Optuna trials were brought up to date.
    """

    n_reaped: int
    n_mirrored: int


class Store(Schema, Studies, Twins, TestFoldLedger, Artifacts, OptunaMirror):
    """Studies, slots and results in one Postgres database; each part in a module of its own.

    At most three connections and one of Optuna's, one when at rest, none after ``disconnect`` until the next call.
    """

    def reconcile(self, name: str) -> Reconciled:
        """Mend what crashes left behind: slots of dead agents are taken back, Optuna's trials brought in line.

        Anybody may call it at any time; it does nothing twice, and takes about half a second at most.
        """
        return Reconciled(n_reaped=self.reap(name), n_mirrored=self.mirror(name, within_s=_MIRROR_S))

    def delete(self, name: str) -> None:
        """Remove a study for ever, with its slots, results and Optuna studies.

        Raises:
            StoreError: there is none of this name, or agents work on it.
        """
        working = [agent.id for agent in self.agents(name) if agent.is_at_work]
        if working:
            raise StoreError(
                f"study {name}: {len(working)} agents work on it, such as {working[0]}; `ablate stop {name}` first"
            )
        self.drop_mirrored(name)
        self.database.studies.pop(name, None)  # the name is free for another study

    def test_readers(self) -> "tuple[TestReader, ...]":
        """Every study of the store that has opened its test fold, in the order of their first reads."""
        from ablate.store import test_fold  # noqa: PLC0415 - pandas takes long to import, and agents never need it

        return test_fold.test_readers(self.database.rows)

    def tables(self, name: str) -> "StudyTables":
        """Everything the store knows of the study, as it stood at one moment."""
        from ablate.store import snapshot  # noqa: PLC0415 - pandas takes long to import, and agents never need it

        return snapshot.tables(
            self.database,
            self._study_id(name),
            read_artifact=lambda slot_id, artifact: self.read_artifact(name, slot_id, artifact),
        )
