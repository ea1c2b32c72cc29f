"""The store of studies: what agents, commands and reports call.

The truth lies in the tables of ``schema``; the Optuna study of the same name follows it (``optuna_mirror``) and is what
optuna-dashboard shows. Every call is retried through outages for the store's patience and raises ``StoreUnavailable``
then.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.store import optuna_mirror
from ablate.store.artifact import Artifacts
from ablate.store.migration import Schema
from ablate.store.study import Studies
from ablate.store.test_read import TestFoldLedger
from ablate.store.twin import Twins

if TYPE_CHECKING:
    from ablate.store.study_tables import StudyTables


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


class Store(Schema, Studies, Twins, TestFoldLedger, Artifacts):
    """Studies, slots and results in one Postgres database; each part in a module of its own.

    At most three connections, one when at rest, none after ``disconnect`` until the next call.
    """

    def reconcile(self, name: str, *, thorough: bool = False) -> Reconciled:
        """Mend what crashes left behind: slots of dead agents are taken back, Optuna's trials brought in line.

        Anybody may call it at any time; it does nothing twice.

        Args:
            name: of the study.
            thorough: compare each of Optuna's trials with its slot also when somebody did so just now.
        """
        study_id = self._study_id(name)
        return Reconciled(
            n_reaped=self.reap(name),
            n_strayed=optuna_mirror.audit(self.database, study_id, every_s=0.0 if thorough else optuna_mirror.AUDIT_S),
            n_mirrored=optuna_mirror.mirror(self.database, study_id),
        )

    def mirror(self, name: str) -> int:
        """Let Optuna's trials follow, unless another process does it now; gives the number of trials changed."""
        return optuna_mirror.mirror(self.database, self._study_id(name))

    def tables(self, name: str) -> "StudyTables":
        """Everything the store knows of the study, as it stood at one moment."""
        from ablate.store import snapshot  # noqa: PLC0415 - pandas takes long to import, and agents never need it

        return snapshot.tables(
            self.database,
            self._study_id(name),
            read_artifact=lambda slot_id, artifact: self.read_artifact(name, slot_id, artifact),
        )
