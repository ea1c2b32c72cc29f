"""What optuna-dashboard shows besides trials: our note, and our figures, put in place of earlier ones."""

from collections.abc import Mapping
from typing import Any

from ablate.store.optuna_mirror import optuna_storage
from ablate.store.store import Store


def publish(store: Store, name: str, *, note: str, figures: Mapping[str, Any]) -> None:
    """Give the Optuna study ``name`` a note in Markdown and plotly figures by name.

    Raises:
        StoreError: the store cannot be used.
    """
    import optuna  # noqa: PLC0415 - takes a second to import
    from optuna_dashboard import save_note, save_plotly_graph_object  # noqa: PLC0415

    store.mirror(name)

    def work() -> None:
        with optuna_storage(store.database) as storage:
            study = optuna.load_study(study_name=name, storage=storage)
            save_note(study, note)
            for key, figure in figures.items():
                save_plotly_graph_object(study, figure, graph_object_id=key)

    store.database.retried(work)
