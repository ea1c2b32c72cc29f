"""What optuna-dashboard shows besides trials: our note, and our figures, put in place of earlier ones."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ablate.store.optuna_mirror import optuna_storage
from ablate.store.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD", "OPTIONS")
READ_ONLY = "read-only: nothing is changed from here; `ablate dashboard --write` lets the page do so"


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


def read_only(pages: "WSGIApplication") -> "WSGIApplication":
    """The same pages, which answer whatever would change something with 403 and the reason, as they show reasons."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READING:
            return pages(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": READ_ONLY}).encode()]

    return answer
