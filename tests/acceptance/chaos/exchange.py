"""What stands behind the address of the store is exchanged under everybody's hands, and back again."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg
from sqlalchemy.engine import URL, make_url

from ablate.store.store import Store
from ablate.study.file import load_spec
from ablate.study.plan import plan

_OTHER, _AWAY, _DUMP = "other", "away", "dump"


class Exchange:
    """The databases of a server, of which one at a time has the name that agents know."""

    def __init__(self, url: str, *, refuse: Callable[[], None], accept: Callable[[], None]) -> None:
        """Args: url: of the server itself; refuse, accept: close and open everybody's way to it."""
        self._url, self._refuse, self._accept = make_url(url), refuse, accept
        self._turn = threading.Lock()
        self.flaws: list[str] = []

    @property
    def is_on(self) -> bool:
        """Whether something else than our store stands there, or will soon."""
        return self._turn.locked()

    def begin(self) -> bool:
        """Take the turn; False while somebody has it."""
        return self._turn.acquire(blocking=False)

    def end(self) -> None:
        """Let others have it."""
        self._turn.release()

    def put_other(self, study: str) -> None:
        """Another store, in which a study of the same name waits for agents."""
        with self._admin() as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {_OTHER} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {_OTHER}")
        spec = load_spec(study)
        other = self._store(_OTHER)
        other.create_schema()
        other.register(spec.name, spec.document(), spec.digest(), plan(spec), max_attempts=spec.budget.max_attempts)
        other.disconnect()
        self._rename((self._name, _AWAY), (_OTHER, self._name))

    def put_back(self) -> None:
        """Our store again; what the other was told must come from agents of its own."""
        self._rename((self._name, _OTHER), (_AWAY, self._name))
        agents = "SELECT id FROM ablate_agent"
        ours, theirs = self._store(self._name), self._store(_OTHER)
        try:
            if both := {row.id for row in ours.database.rows(agents)} & {
                row.id for row in theirs.database.rows(agents)
            }:
                self.flaws.append(f"agents that worked for both stores: {sorted(both)}")
            strangers = "SELECT count(*) AS n FROM ablate_attempt WHERE agent_id NOT IN (SELECT id FROM ablate_agent)"
            for name, store in (("our", ours), ("the other", theirs)):
                if n := store.database.rows(strangers)[0].n:
                    self.flaws.append(f"{n} attempts of strangers in {name} store")
        finally:
            ours.disconnect()
            theirs.disconnect()
        with self._admin() as admin:
            admin.execute(f"DROP DATABASE {_OTHER} WITH (FORCE)")

    def dump(self) -> None:
        """Copy our store as it stands."""
        with self._undisturbed() as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {_DUMP} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {_DUMP} TEMPLATE {self._name}")

    def restore(self) -> None:
        """The copy takes our store's place: whatever was told meanwhile is lost."""
        with self._undisturbed() as admin:
            admin.execute(f"DROP DATABASE {self._name} WITH (FORCE)")
            admin.execute(f"ALTER DATABASE {_DUMP} RENAME TO {self._name}")

    @property
    def _name(self) -> str:
        assert self._url.database
        return self._url.database

    def _store(self, database: str) -> Store:
        url = self._url.set(database=database).render_as_string(hide_password=False)
        return Store(url, patience_s=60, application_name="exchange")

    def _rename(self, *pairs: tuple[str, str]) -> None:
        with self._undisturbed() as admin:
            for old, new in pairs:
                admin.execute(f"ALTER DATABASE {old} RENAME TO {new}")

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[psycopg.Connection]:
        """Nobody is connected to any of the databases, and nobody comes."""
        self._refuse()
        try:
            with self._admin() as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname <> 'postgres' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
                yield admin
        finally:
            self._accept()

    def _admin(self) -> psycopg.Connection:
        url: URL = self._url
        return psycopg.connect(
            host=url.host, port=url.port, user=url.username, dbname="postgres", passfile=str(url.query["passfile"]),
            autocommit=True, connect_timeout=10,
        )  # fmt: skip
