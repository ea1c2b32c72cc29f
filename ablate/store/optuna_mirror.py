"""The Optuna study of the same name: one trial for each slot, for ever, always following our own tables.

optuna-dashboard and ``optuna.load_study`` read it; nothing of ours does. It is written with a few set-based statements
for any number of slots, in one transaction, by whoever gets the advisory lock: a crash leaves it as it was, and the
next call mends it, also when somebody deleted the study or changed its trials.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from ablate.distribution import from_document, stored_value
from ablate.errors import StoreError
from ablate.store.database import Database, to_json

TRIAL_STATES = {"waiting": "WAITING", "leased": "RUNNING", "done": "COMPLETE", "failed": "FAIL", "cancelled": "FAIL"}
AUDIT_S = 30.0
_BATCH = 2000
_SPACE = 0x6F7074  # "opt": our advisory locks of this kind

_STUDY = """
SELECT y.id, y.name, y.spec, y.spec_digest, y.metric_names, y.distributions, y.optuna_study_id, o.study_id AS found,
       pg_try_advisory_xact_lock(:space, hashtext(y.id)) AS is_ours
FROM ablate_study y LEFT JOIN studies o ON o.study_name = y.name WHERE y.id = :study
"""

_STALE = """
SELECT s.id, s.xmin::text AS version, s.ordinal,
       s.key, s.phase, s.arm, s.context, s.index, s.seed, s.params, s.state, s.reason, s.stopped_epoch, t.trial_id,
       r.scores, r.epochs, a.started_at AT TIME ZONE 'UTC' AS started, a.ended_at AT TIME ZONE 'UTC' AS ended
FROM ablate_slot s
LEFT JOIN trials t ON t.trial_id = s.trial_id
LEFT JOIN ablate_result r ON r.slot_id = s.id
LEFT JOIN ablate_attempt a ON a.slot_id = s.id AND a.token = s.token
WHERE s.study_id = :study AND s.stale ORDER BY s.ordinal LIMIT :batch
"""

_LIVE = """
SELECT s.trial_id, s.params, l.progress FROM ablate_lease l JOIN ablate_slot s ON s.id = l.slot_id
WHERE l.study_id = :study AND l.progress IS NOT NULL AND s.trial_id IS NOT NULL
"""

_AUDIT_DUE = """
UPDATE ablate_study SET audited_at = now()
WHERE id = :study AND (audited_at IS NULL OR audited_at < now() - make_interval(secs => :every_s)) RETURNING id
"""

_AUDIT = """
UPDATE ablate_slot s SET stale = true
WHERE s.study_id = :study AND NOT s.stale AND NOT EXISTS (
    SELECT FROM trials t WHERE t.trial_id = s.trial_id AND CASE s.state
        WHEN 'waiting' THEN t.state = 'WAITING'
        WHEN 'leased' THEN t.state = 'RUNNING'
        WHEN 'done' THEN t.state IN ('COMPLETE', 'FAIL', 'PRUNED')
        ELSE t.state = 'FAIL' END)
RETURNING s.id
"""

_NEW_TRIALS = """
INSERT INTO trials (number, study_id, state)
SELECT number, :study, 'WAITING' FROM unnest(CAST(:numbers AS int[])) AS number RETURNING trial_id, number
"""

_TRIALS = """
UPDATE trials t SET state = CAST(n.state AS trialstate), datetime_start = n.started, datetime_complete = n.ended
FROM unnest(CAST(:ids AS int[]), CAST(:states AS text[]), CAST(:started AS timestamp[]), CAST(:ended AS timestamp[]))
     AS n (id, state, started, ended)
WHERE t.trial_id = n.id
"""

_CLEAR = """
WITH params AS (DELETE FROM trial_params WHERE trial_id = ANY(:ids)),
     intermediate AS (DELETE FROM trial_intermediate_values WHERE trial_id = ANY(:ids)),
     reasons AS (DELETE FROM trial_user_attributes WHERE trial_id = ANY(:ids) AND key = 'reason')
DELETE FROM trial_values WHERE trial_id = ANY(:ids)
"""

_VALUES = """
INSERT INTO trial_values (trial_id, objective, value, value_type)
SELECT id, objective, value, 'FINITE'
FROM unnest(CAST(:ids AS int[]), CAST(:objectives AS int[]), CAST(:values AS float8[])) AS n (id, objective, value)
"""

_PARAMS = """
INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
SELECT * FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[]), CAST(:values AS float8[]),
                     CAST(:distributions AS text[]))
"""

_ATTRIBUTES = """
INSERT INTO trial_user_attributes (trial_id, key, value_json)
SELECT * FROM unnest(CAST(:ids AS int[]), CAST(:keys AS text[]), CAST(:values AS text[]))
ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
"""

_INTERMEDIATE = """
INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
SELECT id, step, value, 'FINITE'
FROM unnest(CAST(:ids AS int[]), CAST(:steps AS int[]), CAST(:values AS float8[])) AS n (id, step, value)
ON CONFLICT (trial_id, step) DO NOTHING
"""

_SETTLE = """
-- slots are not locked while we write, for agents would skip them: one that changed meanwhile stays stale
UPDATE ablate_slot s SET stale = s.xmin::text <> n.version, trial_id = n.trial_id
FROM unnest(CAST(:slots AS bigint[]), CAST(:ids AS int[]), CAST(:versions AS text[])) AS n (id, trial_id, version)
WHERE s.id = n.id
"""

_NEW_STUDY = """
WITH made AS (INSERT INTO studies (study_name) VALUES (:name) RETURNING study_id),
     directions AS (INSERT INTO study_directions (study_id, direction, objective)
         SELECT study_id, 'MAXIMIZE', objective FROM made, generate_series(0, :n_objectives - 1) AS objective),
     names AS (INSERT INTO study_system_attributes (study_id, key, value_json)
         SELECT study_id, 'study:metric_names', :metric_names FROM made),
     facts AS (INSERT INTO study_user_attributes (study_id, key, value_json)
         SELECT study_id, f.key, f.value
         FROM made, unnest(CAST(:keys AS text[]), CAST(:values AS text[])) AS f (key, value)),
     forgotten AS (UPDATE ablate_slot SET trial_id = NULL, stale = true WHERE study_id = :study),
     known AS (UPDATE ablate_study SET optuna_study_id = made.study_id FROM made WHERE id = :study)
SELECT study_id FROM made
"""

Table = dict[str, list[Any]]


def mirror(database: Database, study_id: str) -> int:
    """Bring the Optuna study up to date; gives the number of trials changed, 0 also while somebody else does it.

    Raises:
        StoreError: an Optuna study of this name was made by somebody else.
    """
    n_changed = 0
    while True:
        n_batch = database.transact(lambda connection: _mirror_batch(connection, study_id))
        n_changed += n_batch
        if n_batch < _BATCH:
            return n_changed


def audit(database: Database, study_id: str, *, every_s: float = AUDIT_S) -> int:
    """Mark slots whose trials are missing or in another state, so that ``mirror`` mends them; gives their number.

    It looks at every slot, so all agents together do it once in ``every_s``.
    """
    if not database.rows(_AUDIT_DUE, study=study_id, every_s=every_s):
        return 0
    return len(database.rows(_AUDIT, study=study_id))


def _mirror_batch(connection: Connection, study_id: str) -> int:
    study = connection.execute(sa.text(_STUDY), {"study": study_id, "space": _SPACE}).one()
    if not study.is_ours:
        return 0
    optuna_id = study.optuna_study_id
    if study.found is None:
        optuna_id = _create_study(connection, study)
    elif study.found != optuna_id:
        raise StoreError(
            f"study {study.name}: an Optuna study of this name is in the store already; use another --name"
        )
    slots = connection.execute(sa.text(_STALE), {"study": study_id, "batch": _BATCH}).all()
    if slots:
        ids = _ensure_trials(connection, optuna_id, slots)
        _write(connection, study, slots, ids)
    _write_live(connection, study_id)
    return len(slots)


def _create_study(connection: Connection, study: Row[Any]) -> int:
    facts = {"spec_digest": study.spec_digest, "question": study.spec.get("question", "")}
    values = {
        "study": study.id, "name": study.name, "n_objectives": len(study.metric_names),
        "metric_names": to_json(study.metric_names), "keys": list(facts),
        "values": [to_json(value) for value in facts.values()],
    }  # fmt: skip
    optuna_id: int = connection.execute(sa.text(_NEW_STUDY), values).scalar_one()
    return optuna_id


def _ensure_trials(connection: Connection, optuna_id: int, slots: Sequence[Row[Any]]) -> list[int]:
    """Trial of each slot, made where there is none; its number is the slot's place in the plan."""
    missing = [slot.ordinal for slot in slots if slot.trial_id is None]
    made: dict[int, int] = {}
    if missing:
        rows = connection.execute(sa.text(_NEW_TRIALS), {"study": optuna_id, "numbers": missing})
        made = {row.number: row.trial_id for row in rows}
    return [slot.trial_id or made[slot.ordinal] for slot in slots]


def _write(connection: Connection, study: Row[Any], slots: Sequence[Row[Any]], ids: Sequence[int]) -> None:
    content = _Content()
    for slot, trial_id in zip(slots, ids, strict=True):
        content.add(slot, trial_id, study.metric_names, study.distributions)
    known = {"ids": [trial_id for slot, trial_id in zip(slots, ids, strict=True) if slot.trial_id is not None]}
    if known["ids"]:
        connection.execute(sa.text(_CLEAR), known)
    connection.execute(sa.text(_TRIALS), content.trials)
    filled = (
        (_VALUES, content.values),
        (_PARAMS, content.params),
        (_ATTRIBUTES, content.attributes),
        (_INTERMEDIATE, content.intermediate),
    )
    for statement, table in filled:
        if table["ids"]:
            connection.execute(sa.text(statement), table)
    settled = {"slots": [slot.id for slot in slots], "ids": list(ids), "versions": [slot.version for slot in slots]}
    connection.execute(sa.text(_SETTLE), settled)


def _write_live(connection: Connection, study_id: str) -> None:
    """The latest score of each trial that is going on."""
    table: Table = {"ids": [], "steps": [], "values": []}
    for row in connection.execute(sa.text(_LIVE), {"study": study_id}):
        progress, params = row.progress, row.params or {}
        if progress.get("val_auroc") is not None and progress.get("epoch") is not None:
            before = int(params.get("probe_epochs", 0)) if progress.get("stage") == "finetune" else 0
            _append(table, row.trial_id, before + int(progress["epoch"]), progress["val_auroc"])
    if table["ids"]:
        connection.execute(sa.text(_INTERMEDIATE), table)


@dataclass
class _Content:
    """Rows of Optuna's tables, column by column."""

    trials: Table = field(default_factory=lambda: {"ids": [], "states": [], "started": [], "ended": []})
    values: Table = field(default_factory=lambda: {"ids": [], "objectives": [], "values": []})
    params: Table = field(default_factory=lambda: {"ids": [], "names": [], "values": [], "distributions": []})
    attributes: Table = field(default_factory=lambda: {"ids": [], "keys": [], "values": []})
    intermediate: Table = field(default_factory=lambda: {"ids": [], "steps": [], "values": []})

    def add(
        self, slot: Row[Any], trial_id: int, metric_names: Sequence[str], distributions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        scores = slot.scores or {}
        objectives = [scores.get(name) for name in metric_names]
        state = TRIAL_STATES[slot.state] if slot.stopped_epoch is None else "PRUNED"
        if state == "COMPLETE" and None in objectives:
            state = "FAIL"  # Optuna has no trial that is complete without a value
        if state == "COMPLETE":
            for place, value in enumerate(objectives):
                _append(self.values, trial_id, place, value)
        is_begun, is_over = state != "WAITING", state in ("COMPLETE", "PRUNED", "FAIL")
        _append(self.trials, trial_id, state, slot.started if is_begun else None, slot.ended if is_over else None)
        self._add_params(trial_id, slot.params or {}, distributions)
        self._add_attributes(trial_id, slot, scores)
        if state == "PRUNED":
            self._add_early_stop(trial_id, slot, scores)
        else:
            self._add_intermediate(trial_id, slot.epochs)

    def _add_params(
        self, trial_id: int, params: Mapping[str, Any], distributions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        for name, document in distributions.items():
            value = stored_value(from_document(document), params[name]) if name in params else None
            if value is not None:
                _append(self.params, trial_id, name, value, to_json(document))

    def _add_attributes(self, trial_id: int, slot: Row[Any], scores: Mapping[str, float | None]) -> None:
        facts: dict[str, Any] = {}
        if slot.trial_id is None:
            facts |= {
                "slot": slot.key,
                "phase": slot.phase,
                "arm": slot.arm,
                **slot.context,
                "index": slot.index,
                "seed": slot.seed,
            }
        facts |= {name: score for name, score in scores.items() if name.startswith("test_")}
        if slot.reason is not None:
            facts["reason"] = slot.reason
        for key, value in facts.items():
            _append(self.attributes, trial_id, key, to_json(value))

    def _add_early_stop(self, trial_id: int, slot: Row[Any], scores: Mapping[str, float | None]) -> None:
        """As attributes: a pruned trial with intermediate values makes TPE fail where there are several objectives."""
        curve = list(slot.epochs.get("val_auroc", ()))
        for key, value in {"stopped_epoch": slot.stopped_epoch, "val_auroc_by_epoch": curve, **scores}.items():
            _append(self.attributes, trial_id, key, to_json(value))

    def _add_intermediate(self, trial_id: int, epochs: Mapping[str, Sequence[Any]] | None) -> None:
        for step, value in enumerate((epochs or {}).get("val_auroc", ()), start=1):
            if value is not None:
                _append(self.intermediate, trial_id, step, value)


def _append(table: Table, *values: Any) -> None:
    columns: Iterable[list[Any]] = table.values()
    for column, value in zip(columns, values, strict=True):
        column.append(value)
