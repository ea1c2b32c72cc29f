"""Which part of a post-training recipe matters: ablation studies of ECG foundation models, with intervals."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.store.study_tables import StudyTables

__version__ = "0.1.0"
__all__ = ["__version__", "load_study"]


def load_study(storage: str | None, name: str) -> "StudyTables":
    """A study as pandas data frames, in one consistent snapshot.

    Args:
        storage: address of the store; None for ``ABLATE_STORAGE``, or else the managed Postgres.
        name: the study's name in the store.

    Raises:
        StoreError: the store cannot be used, or holds no study of this name.
    """
    from ablate import settings  # noqa: PLC0415  (so that `import ablate` costs nothing)
    from ablate.store.postgres_server import Server  # noqa: PLC0415
    from ablate.store.store import Store  # noqa: PLC0415

    store = Store(settings.storage_url(storage) or Server(settings.home() / "postgres").ensure_running())
    try:
        return store.tables(name)
    finally:
        store.disconnect()  # a notebook stays open for days
