"""What the parts of the store share: one database, and which study a name stands for."""

from typing import Self

from ablate.errors import StoreError
from ablate.store.database import PATIENCE_S, Database
from ablate.store.schema_version import check, current


class StoreAccess:
    """The database behind a store; each part of the store (studies, leases, artifacts, ...) adds its own methods."""

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, application_name: str = "ablate") -> None:
        self.database = Database(url, patience_s=patience_s, application_name=application_name)

    def patient(self, patience_s: float) -> Self:
        """The same store over the same connections, with another patience."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.database = self.database.patient(patience_s)
        return other

    def disconnect(self) -> None:
        """Close all connections; the next call opens one again."""
        self.database.disconnect()

    def studies(self) -> list[str]:
        """Names of all studies, oldest first."""
        return [row.name for row in self.database.rows("SELECT name FROM ablate_study ORDER BY created_at, name")]

    def _study_id(self, name: str) -> str:
        """Identifier of a study; whatever comes to stand at the address later, this store keeps to it.

        Raises:
            StoreError: there is none of this name, or the tables are of another version.
        """
        if name not in self.database.studies:
            check(self.database, self.database.transact(current))
            rows = self.database.rows("SELECT id FROM ablate_study WHERE name = :name", name=name)
            if not rows:
                raise self._unknown(name)
            self.database.studies[name] = rows[0].id
        return self.database.studies[name]

    def _unknown(self, name: str) -> StoreError:
        there = ", ".join(self.studies()) or "none"
        return StoreError(f"study {name}: not in storage {self.database.shown}; it holds: {there}")

    def _check_contact(self, study_id: str) -> None:
        """See that what stands at the address is still the store of this study, in the version that we know.

        Raises:
            ForeignStore: the study is not there any more.
            StoreError: the tables are of another version.
        """
        version = self.database.transact(current)
        if version is not None:
            check(self.database, version)
        if version is None or not self.database.rows("SELECT FROM ablate_study WHERE id = :study", study=study_id):
            raise self.database.foreign()
