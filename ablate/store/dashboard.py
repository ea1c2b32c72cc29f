"""What optuna-dashboard shows besides trials: our note, and our figures, put in place of earlier ones."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ablate.store.optuna_studies import optuna_storage
from ablate.store.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD", "OPTIONS")
READ_ONLY = "read-only: nothing is changed from here; `ablate dashboard --write` lets the page do so"


def publish(store: Store, name: str, *, note: str, search_note: str, figures: Mapping[str, Any]) -> None:
    """Give the Optuna studies of a study their notes in Markdown, and that of the confirmation its figures.

    Args:
        store: which holds the study.
        name: of the study.
        note: for the Optuna study of the confirmation.
        search_note: for those of the search.
        figures: of plotly, by a name that stays the same.

    Raises:
        StoreError: the store cannot be used.
    """
    import optuna  # noqa: PLC0415 - takes a second to import
    from optuna_dashboard import save_note, save_plotly_graph_object  # noqa: PLC0415

    store.mirror(name)
    *searches, confirmation = store.optuna_names(name)

    def work() -> None:
        with optuna_storage(store.database) as storage:
            for search in searches:
                save_note(optuna.load_study(study_name=search, storage=storage), search_note)
            confirmed = optuna.load_study(study_name=confirmation, storage=storage)
            save_note(confirmed, note)
            for key, figure in figures.items():
                save_plotly_graph_object(confirmed, figure, graph_object_id=key)

    store.database.retried(work)


def read_only(pages: "WSGIApplication") -> "WSGIApplication":
    """The same pages, which answer whatever would change something with 403 and the reason, as they show reasons."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READING:
            return pages(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": READ_ONLY}).encode()]

    return answer
