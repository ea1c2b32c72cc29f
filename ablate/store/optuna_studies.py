"""Which Optuna studies follow a study, what they are called, and whose an Optuna study is.

One for the search in each context and one for the confirmation, so that the importances that Optuna and its dashboard
compute mean something. A context is crossed with the search and no part of it: pooled, the share of the data would pass
for whatever was tuned along with it. And a confirming trial repeats the params that were chosen, so that it is
no draw from the space.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from ablate import digest
from ablate.errors import StoreError
from ablate.store.database import Database, to_json

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_OWNER = "ablate_study"  # user attribute of an Optuna study: whose it is
_LONGEST = 200  # characters of a context in a name; Optuna takes 512 for the whole
_PLANNED = """
SELECT CAST(context::text AS json) AS context FROM ablate_slot WHERE study_id = :study AND phase <> 'confirm'
GROUP BY context::text ORDER BY context::text
"""


def search_name(name: str, context: Mapping[str, Any]) -> str:
    """``NAME · search · data_fraction=0.1``: of the trials that are tuned in one context."""
    factors = [f"{key}={value if isinstance(value, str) else to_json(value)}" for key, value in sorted(context.items())]
    text = ", ".join(factors)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… {digest.of_bytes(text.encode())[: digest.SHORT]}"
    return " · ".join(part for part in (name, "search", text) if part)


def confirm_name(name: str) -> str:
    """``NAME · confirm``: of the trials that verdicts are given on, in all contexts."""
    return f"{name} · confirm"


def name_of(name: str, phase: str, context: Mapping[str, Any]) -> str:
    """Of the Optuna study that a slot's trials are in."""
    return confirm_name(name) if phase == "confirm" else search_name(name, context)


def planned_names(connection: Connection, study_id: str, name: str) -> list[str]:
    """Of all Optuna studies that follow a study, those of searches first."""
    rows = connection.execute(sa.text(_PLANNED), {"study": study_id})
    return [*dict.fromkeys(search_name(name, row.context) for row in rows), confirm_name(name)]


@contextlib.contextmanager
def optuna_storage(database: Database) -> Iterator["RDBStorage"]:
    """Optuna's storage, closed afterwards; its errors are those of the driver beneath it."""
    import optuna  # noqa: PLC0415
    from optuna.exceptions import StorageInternalError  # noqa: PLC0415

    storage, verbosity = database.optuna_storage(), optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study that was made is no news to anybody
    try:
        yield storage
    except StorageInternalError as error:
        raise error.__cause__ or error from error
    finally:
        optuna.logging.set_verbosity(verbosity)
        storage.remove_session()
        storage.engine.dispose()


def refuse_taken(database: Database, names: list[str]) -> None:
    """See that no Optuna study has a name that those of a new study will have.

    Raises:
        StoreError: one has.
    """

    def taken() -> str | None:
        with optuna_storage(database) as storage:
            return next((name for name in names if _identifier(storage, name) is not None), None)

    if (name := database.retried(taken)) is not None:
        raise _taken(name)


def ensure_made(storage: "RDBStorage", name: str, study: Row[Any]) -> tuple[int, bool]:
    """Identifier of the Optuna study ``name``, which is made where there is none, and whether it was.

    Raises:
        StoreError: somebody else has made one of this name.
    """
    optuna_id, attributes = _identifier(storage, name), {}
    is_new = optuna_id is None
    if optuna_id is None:
        from optuna.study import StudyDirection  # noqa: PLC0415 - takes a second to import

        optuna_id = storage.create_new_study([StudyDirection.MAXIMIZE] * len(study.metric_names), name)
    else:
        attributes = storage.get_study_user_attrs(optuna_id)
        if not _is_ours(storage, optuna_id, attributes, study):
            raise _taken(name)
    _describe(storage, optuna_id, name, attributes, study)
    return optuna_id, is_new


def drop_ours(storage: "RDBStorage", name: str, study: Row[Any]) -> None:
    """Remove the Optuna study ``name``, unless there is none or it is somebody else's."""
    optuna_id = _identifier(storage, name)
    if optuna_id is not None and _is_ours(storage, optuna_id, storage.get_study_user_attrs(optuna_id), study):
        storage.delete_study(optuna_id)


def _identifier(storage: "RDBStorage", name: str) -> int | None:
    with contextlib.suppress(KeyError):
        return storage.get_study_id_from_name(name)
    return None


def _is_ours(storage: "RDBStorage", optuna_id: int, attributes: Mapping[str, Any], study: Row[Any]) -> bool:
    if study.is_mirroring and not attributes:  # as one that we made and died before saying whose it is
        return storage.get_n_trials(optuna_id) == 0
    return bool(attributes.get(_OWNER) == study.id)


def _taken(name: str) -> StoreError:
    remedy = "delete that, or give the file another name"
    return StoreError(f"an Optuna study {name} is in the store already, which ablate has not made; {remedy}")


def _describe(storage: "RDBStorage", optuna_id: int, name: str, attributes: Mapping[str, Any], study: Row[Any]) -> None:
    """What people read of the study, where ``attributes`` are what it has; first of all whose it is."""
    import optuna  # noqa: PLC0415

    facts = {_OWNER: study.id, "spec_digest": study.spec_digest, "question": study.question or ""}
    for key, value in facts.items():
        if attributes.get(key) != value:
            storage.set_study_user_attr(optuna_id, key, value)
    if attributes != facts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.load_study(study_name=name, storage=storage).set_metric_names(list(study.metric_names))
