"""Which part of a post-training recipe matters: ablation studies of ECG foundation models, with intervals."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ablate.report.notebook import Study

__version__ = "0.1.0"
__all__ = ["__version__", "load_study", "run"]


def load_study(storage: str | None, name: str, *, partial: bool = False) -> "Study":
    """A study with its tables, verdicts and figures, in one consistent snapshot.

    Args:
        storage: address of the store; None for ``ABLATE_STORAGE``, or else the managed Postgres.
        name: the study's name in the store.
        partial: give verdicts although slots have failed.

    Raises:
        StoreError: the store cannot be used, or holds no study of this name.
    """
    from ablate import settings  # noqa: PLC0415  (so that `import ablate` costs nothing)
    from ablate.report.notebook import Study  # noqa: PLC0415
    from ablate.store.postgres_server import Server  # noqa: PLC0415
    from ablate.store.store import Store  # noqa: PLC0415

    store = Store(settings.storage_url(storage) or Server(settings.home() / "postgres").ensure_running())
    try:
        return Study(store.tables(name), partial=partial)
    finally:
        store.disconnect()  # a notebook stays open for days


def run(
    study: str,
    *,
    workers: int | None = None,
    overrides: "Sequence[str]" = (),
    data: "Path | None" = None,
    storage: str | None = None,
    device: str | None = None,
) -> "Study":
    """Fill every slot of a study on this machine, as ``ablate run`` does, and load it; goes on where it stopped.

    Args:
        study: a name in studies/ or in the store, or the path of a study file.
        workers: agents; as ``ablate run`` without ``--workers`` by default.
        overrides: ``key=value`` each; they make another study with its own name.
        data: folder of PTB-XL.
        storage: as in ``load_study``.
        device: cpu, cuda or cuda:N.

    Raises:
        AblateError: as the command says them.
        KeyboardInterrupt: the kernel was interrupted; every agent has checkpointed its trial and ended.
    """
    from ablate.cli.run import run_here  # noqa: PLC0415  (so that `import ablate` costs nothing)

    name = run_here(study, workers=workers, overrides=overrides, data=data, storage=storage, device=device)
    return load_study(storage, name)
