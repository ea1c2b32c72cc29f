"""The Optuna studies that follow a study (``optuna_studies``): a trial for each slot that was begun, as our tables say.

optuna-dashboard and ``optuna.load_study`` read them; nothing of ours does. They are written through the public methods
of Optuna's storage, by one process at a time, the one that holds the advisory lock, and never within a claim. A slot's
trial appears once its params are settled, waits again when the slot was given back, and ends with it. Optuna never
changes a finished trial, so a slot that is tried again after its end gets another one.

Optuna commits each call by itself. So a pass notes that it has begun, and at its end which slot has which trial; who
finds a pass begun and never ended compares all trials with their slots first.
"""

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from ablate.distribution import fits, from_document
from ablate.errors import StoreError
from ablate.store.access import StoreAccess
from ablate.store.optuna_studies import drop_ours, ensure_made, name_of, optuna_storage, planned_names

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, TrialState

_PASS_S = 2.0  # after which others may have the lock, and what was done is settled
_BATCH = 500
_SPACE = 0x6F7074  # "opt": our advisory locks of this kind

_IS_BEHIND = """
SELECT FROM ablate_study y WHERE y.id = :study AND (
    NOT y.is_mirrored OR y.is_mirroring
    OR EXISTS (SELECT FROM ablate_slot s WHERE s.study_id = y.id AND s.stale)
    OR EXISTS (SELECT FROM ablate_lease l JOIN ablate_slot s ON s.id = l.slot_id WHERE l.study_id = y.id AND {live}))
"""

_STUDY = """
SELECT id, name, spec ->> 'question' AS question, spec_digest, metric_names, distributions, is_mirrored,
       is_mirroring, pg_try_advisory_xact_lock(:space, hashtext(id)) AS is_ours
FROM ablate_study WHERE id = :study
"""

_OWNED = "SELECT id, name, is_mirroring FROM ablate_study WHERE id = :study"

_LOCK = "SELECT pg_advisory_xact_lock(:space, hashtext(:study))"  # as above, waiting for whoever mirrors now

_STALE = """
SELECT s.id, s.xmin::text AS version, s.key, s.phase, s.arm, s.context, s.seed, s.params, s.state, s.token, s.reason,
       s.stopped_epoch, s.trial_id, r.scores, r.epochs, a.started_at, a.ended_at
FROM ablate_slot s
LEFT JOIN ablate_result r ON r.slot_id = s.id
LEFT JOIN ablate_attempt a ON a.slot_id = s.id AND a.token = s.token
WHERE s.study_id = :study AND s.stale ORDER BY s.ordinal LIMIT :batch
"""

# A score of fine-tuning that is not shown yet. Not of a trial that may be stopped early: Optuna's default sampler fails
# on intermediate values of pruned trials where there are two objectives.
_IS_LIVE = """
s.trial_id IS NOT NULL AND s.rungs IS NULL AND l.progress ->> 'stage' = 'finetune'
AND l.progress ->> 'val_auroc' IS NOT NULL AND (l.progress ->> 'epoch')::int IS DISTINCT FROM l.shown_epoch
"""
_LIVE = """
SELECT l.slot_id, s.trial_id, (l.progress ->> 'epoch')::int AS epoch, (l.progress ->> 'val_auroc')::float8 AS score
FROM ablate_lease l JOIN ablate_slot s ON s.id = l.slot_id WHERE l.study_id = :study AND {live}
"""

_SETTLE = """
-- slots are not locked while we write, for agents would skip them: one that changed meanwhile stays stale
UPDATE ablate_slot s SET stale = s.xmin::text <> n.version, trial_id = n.trial_id
FROM unnest(CAST(:slots AS bigint[]), CAST(:ids AS int[]), CAST(:versions AS text[])) AS n (id, trial_id, version)
WHERE s.id = n.id
"""

_BEGUN = """
SELECT s.id, s.key, s.state, s.token, s.params, s.stopped_epoch, s.trial_id, r.scores
FROM ablate_slot s LEFT JOIN ablate_result r ON r.slot_id = s.id WHERE s.study_id = :study AND s.token > 0
"""
_ADOPT = """
UPDATE ablate_slot s SET stale = true, trial_id = n.trial_id
FROM unnest(CAST(:slots AS bigint[]), CAST(:ids AS int[])) AS n (id, trial_id) WHERE s.id = n.id
"""


class OptunaMirror(StoreAccess):
    """What lets Optuna's study follow."""

    def mirror(self, name: str, *, within_s: float = math.inf) -> int:
        """Let Optuna's trials follow, unless another process does so now; gives the number of slots that were behind.

        Args:
            name: of the study.
            within_s: begin nothing more after this time; the rest is for whoever comes next.

        Raises:
            StoreError: an Optuna study of this name was made by somebody else.
        """
        study_id, until = self._study_id(name), time.monotonic() + within_s
        is_behind = _IS_BEHIND.format(live=_IS_LIVE)
        n_followed = 0
        while self.database.rows(is_behind, study=study_id):
            pass_until = min(until, time.monotonic() + _PASS_S)
            n_slots = self.database.transact(lambda connection: self._pass(connection, study_id, until=pass_until))  # noqa: B023
            n_followed += n_slots or 0
            if n_slots is None or time.monotonic() >= until:
                break
        return n_followed

    def optuna_names(self, name: str) -> list[str]:
        """Of the Optuna studies that follow the study: of its search in each context, and last of its confirmation."""
        study_id = self._study_id(name)
        return self.database.transact(lambda connection: planned_names(connection, study_id, name))

    def drop_mirrored(self, name: str) -> None:
        """Remove the study and the Optuna studies that follow it; those of the same names that are not ours stay.

        Optuna's go first: whoever is killed between them leaves a study of ours that makes them anew, and never an
        Optuna study that nobody owns.
        """
        study_id = self._study_id(name)

        def work(connection: Connection) -> None:
            connection.execute(sa.text(_LOCK), {"study": study_id, "space": _SPACE})
            study = connection.execute(sa.text(_OWNED), {"study": study_id}).one_or_none()
            if study is None:
                return  # somebody else has removed it meanwhile
            with optuna_storage(self.database) as storage:
                for optuna_name in (name, *planned_names(connection, study_id, name)):
                    drop_ours(storage, optuna_name, study)
            connection.execute(sa.text("DELETE FROM ablate_study WHERE id = :study"), {"study": study_id})

        self.database.transact(work)

    def _pass(self, connection: Connection, study_id: str, *, until: float) -> int | None:
        """One turn under the lock, which the connection's transaction holds; None while somebody else has it."""
        study = connection.execute(sa.text(_STUDY), {"study": study_id, "space": _SPACE}).one_or_none()
        if study is None or not study.is_ours:  # deleted meanwhile, or somebody else's turn
            return None
        self.database.note("UPDATE ablate_study SET is_mirroring = true WHERE id = :study", study=study_id)
        with optuna_storage(self.database) as storage:
            optuna_ids = self._optuna_studies(storage, connection, study)
            slots = connection.execute(sa.text(_STALE), {"study": study_id, "batch": _BATCH}).all()
            space = {name: from_document(document) for name, document in study.distributions.items()}
            settled: dict[str, list[Any]] = {"slots": [], "ids": [], "versions": []}
            for slot in slots:
                optuna_id = optuna_ids[name_of(study.name, slot.phase, slot.context)]
                trial_id = _follow(storage, optuna_id, slot, space=space, metric_names=study.metric_names)
                for column, value in zip(settled.values(), (slot.id, trial_id, slot.version), strict=True):
                    column.append(value)
                if time.monotonic() >= until:
                    break
            connection.execute(sa.text(_SETTLE), settled)
            _show_progress(storage, connection, study_id, until=until)
        statement = "UPDATE ablate_study SET is_mirroring = false, is_mirrored = true WHERE id = :study"
        connection.execute(sa.text(statement), {"study": study_id})
        return len(settled["slots"])

    def _optuna_studies(self, storage: "RDBStorage", connection: Connection, study: Row[Any]) -> dict[str, int]:
        """Identifiers of the Optuna studies by name; whatever is missing is made, and its slots' trials come anew."""
        try:
            if not study.is_mirrored:  # earlier versions had one Optuna study, of the study's own name
                drop_ours(storage, study.name, study)
            names = planned_names(connection, study.id, study.name)
            made = {name: ensure_made(storage, name, study) for name in names}
        except StoreError:
            self.database.note("UPDATE ablate_study SET is_mirroring = false WHERE id = :study", study=study.id)
            raise
        optuna_ids = {name: optuna_id for name, (optuna_id, _) in made.items()}
        if study.is_mirroring or any(is_new for _, is_new in made.values()):
            _adopt(storage, connection, study, list(optuna_ids.values()))
        return optuna_ids


def _adopt(storage: "RDBStorage", connection: Connection, study: Row[Any], optuna_ids: Sequence[int]) -> None:
    """Find the trials of a pass that never ended, and mark every slot whose trial is another than it should be."""
    latest: dict[str, FrozenTrial] = {}
    for optuna_id in optuna_ids:
        for trial in storage.get_all_trials(optuna_id, deepcopy=False):
            latest[trial.user_attrs.get("slot", "")] = trial
    adopted: dict[str, list[Any]] = {"slots": [], "ids": []}
    for slot in connection.execute(sa.text(_BEGUN), {"study": study.id}).all():
        last, state = latest.get(slot.key), _state(slot, study.metric_names)
        if (last and last._trial_id) != slot.trial_id or (last and last.state is not state):
            adopted["slots"].append(slot.id)
            adopted["ids"].append(last and last._trial_id)
    connection.execute(sa.text(_ADOPT), adopted)


def _follow(
    storage: "RDBStorage", optuna_id: int, slot: Row[Any], *, space: Mapping[str, Any], metric_names: Sequence[str]
) -> int | None:
    """Bring the slot's trial in line, or make one; None where it has none: not begun, or not again since its end."""
    from optuna.exceptions import UpdateFinishedTrialError  # noqa: PLC0415
    from optuna.trial import TrialState  # noqa: PLC0415

    state = _state(slot, metric_names)
    trial_id: int | None = slot.trial_id
    if trial_id is not None:
        try:
            _update(storage, trial_id, slot, state, metric_names)
        except UpdateFinishedTrialError:
            if storage.get_trial(trial_id).state is state:
                return trial_id
        except KeyError:
            pass  # somebody has removed it
        else:
            return trial_id
    is_settled = slot.params is not None or state.is_finished()
    if state is TrialState.WAITING or slot.token == 0 or not is_settled:
        return None
    return storage.create_new_trial(optuna_id, _template(slot, state, space=space, metric_names=metric_names))


def _state(slot: Row[Any], metric_names: Sequence[str]) -> "TrialState":
    from optuna.trial import TrialState  # noqa: PLC0415

    if slot.state == "done":
        if slot.stopped_epoch is not None:
            return TrialState.PRUNED
        # Optuna has no trial that is complete without a value
        return TrialState.FAIL if _values(slot, metric_names) is None else TrialState.COMPLETE
    states = {"waiting": TrialState.WAITING, "leased": TrialState.RUNNING}
    return states.get(slot.state, TrialState.FAIL)


def _values(slot: Row[Any], metric_names: Sequence[str]) -> list[float] | None:
    scores = slot.scores or {}
    values: list[float | None] = [scores.get(name) for name in metric_names]
    return [value for value in values if value is not None] if None not in values else None


def _update(
    storage: "RDBStorage", trial_id: int, slot: Row[Any], state: "TrialState", metric_names: Sequence[str]
) -> None:
    for key, value in _ending(slot).items():
        storage.set_trial_user_attr(trial_id, key, value)
    for step, score in _curve(slot).items():
        storage.set_trial_intermediate_value(trial_id, step, score)
    storage.set_trial_state_values(trial_id, state, _values(slot, metric_names) if state.name == "COMPLETE" else None)


def _template(
    slot: Row[Any], state: "TrialState", *, space: Mapping[str, Any], metric_names: Sequence[str]
) -> "FrozenTrial":
    """The whole trial; params that an arm fixes outside the space are left out, as conditional ones would be."""
    from optuna.trial import create_trial  # noqa: PLC0415

    params = {
        name: slot.params[name]
        for name in space
        if name in (slot.params or {}) and fits(space[name], slot.params[name])
    }
    facts = {"slot": slot.key, "phase": slot.phase, "arm": slot.arm, **slot.context, "seed": slot.seed}
    trial = create_trial(
        state=state,
        values=_values(slot, metric_names) if state.name == "COMPLETE" else None,
        params=params,
        distributions={name: space[name] for name in params},
        user_attrs=facts | _ending(slot),
        intermediate_values=_curve(slot),
    )
    trial.datetime_start = _local(slot.started_at)
    trial.datetime_complete = _local(slot.ended_at) if state.is_finished() else None
    return trial


def _ending(slot: Row[Any]) -> dict[str, Any]:
    """Attributes of a slot that has ended."""
    scores = slot.scores or {}
    facts = {name: score for name, score in scores.items() if name.startswith("test_")}
    if slot.reason is not None:
        facts["reason"] = slot.reason
    if slot.stopped_epoch is not None:
        facts |= {"stopped_epoch": slot.stopped_epoch, "val_auroc_by_epoch": list(slot.epochs["val_auroc"]), **scores}
    return facts


def _curve(slot: Row[Any]) -> dict[int, float]:
    """Validation AUROC by epoch of fine-tuning."""
    if slot.epochs is None or slot.stopped_epoch is not None:
        return {}
    rows = zip(*(slot.epochs[name] for name in ("stage", "epoch", "val_auroc")), strict=True)
    return {epoch: score for stage, epoch, score in rows if stage == "finetune" and score is not None}


def _show_progress(storage: "RDBStorage", connection: Connection, study_id: str, *, until: float) -> None:
    """The latest score of each trial that is going on."""
    from optuna.exceptions import UpdateFinishedTrialError  # noqa: PLC0415

    shown: dict[str, list[int]] = {"slots": [], "epochs": []}
    for row in connection.execute(sa.text(_LIVE.format(live=_IS_LIVE)), {"study": study_id}):
        if time.monotonic() >= until:
            break
        with contextlib.suppress(UpdateFinishedTrialError, KeyError):
            storage.set_trial_intermediate_value(row.trial_id, row.epoch, row.score)
        shown["slots"].append(row.slot_id)
        shown["epochs"].append(row.epoch)
    statement = """
        UPDATE ablate_lease l SET shown_epoch = n.epoch
        FROM unnest(CAST(:slots AS bigint[]), CAST(:epochs AS int[])) AS n (slot, epoch) WHERE l.slot_id = n.slot
    """
    connection.execute(sa.text(statement), shown)


def _local(at: datetime | None) -> datetime | None:
    """As Optuna writes times: local, without a zone."""
    return None if at is None else at.astimezone().replace(tzinfo=None)
