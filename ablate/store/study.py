"""Studies: registered once with all their slots, sealed once, stopped and taken up again."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ablate.distribution import distribution_documents
from ablate.document import flat
from ablate.domain import Domain
from ablate.errors import StoreError
from ablate.outcome import Progress
from ablate.store import lease
from ablate.store.access import StoreAccess
from ablate.store.database import to_json
from ablate.store.optuna_studies import confirm_name, name_of, refuse_taken
from ablate.store.result import CLASS_COLUMNS
from ablate.store.schema_version import VERSION_TABLE, check
from ablate.store.slot import AgentCard, Past, PlannedSlot, Slot, SlotState

_REGISTER = """
INSERT INTO ablate_study (name, spec, spec_digest, metric_names, distributions, max_attempts)
VALUES (:name, CAST(:spec AS json), :digest, CAST(:metric_names AS json), CAST(:distributions AS json), :max_attempts)
ON CONFLICT (name) DO NOTHING RETURNING id
"""

_PLAN = """
INSERT INTO ablate_slot
    (study_id, ordinal, key, phase, arm, context, search, index, generation, chain, priority, seed, params, state)
SELECT :study, p.ordinal, p.key, p.phase, p.arm, CAST(p.context AS json), p.search, p.index, p.generation, p.chain,
       p.priority, p.seed, CAST(p.params AS json), 'waiting'
FROM unnest(CAST(:ordinal AS int[]), CAST(:key AS text[]), CAST(:phase AS text[]), CAST(:arm AS text[]),
            CAST(:context AS text[]), CAST(:search AS int[]), CAST(:index AS int[]), CAST(:generation AS int[]),
            CAST(:chain AS text[]), CAST(:priority AS int[]), CAST(:seed AS bigint[]),
            CAST(:params AS text[]))
     AS p (ordinal, key, phase, arm, context, search, index, generation, chain, priority, seed, params)
ON CONFLICT (study_id, key) DO NOTHING RETURNING id
"""

_READ = """
SELECT id, name, spec, spec_digest, created_at, seal, sealed_at, stop_requested_at, max_attempts
FROM ablate_study WHERE name = :name
"""

_READ_OURS = f"""
SELECT id, name, spec, spec_digest, created_at, seal, sealed_at, stop_requested_at, max_attempts,
       (SELECT version_num FROM {VERSION_TABLE}) AS version
FROM ablate_study WHERE id = :study
"""  # noqa: S608

_HISTORY = """
SELECT s.index, s.params, r.scores, r.epochs, s.stopped_epoch
FROM ablate_slot s JOIN ablate_result r ON r.slot_id = s.id
WHERE s.study_id = :study AND s.chain = :chain AND s.generation < :generation ORDER BY s.index, s.ordinal
"""

_DIVERGED = """
SELECT params FROM ablate_slot
WHERE study_id = :study AND chain = :chain AND generation < :generation AND state = 'failed'
  AND starts_with(reason, 'diverged:') AND params IS NOT NULL ORDER BY index, ordinal
"""

_COUNTS = """
SELECT phase, state, count(*) AS n, count(stopped_epoch) AS n_stopped, count(reused_from) AS n_reused
FROM ablate_slot WHERE study_id = :study GROUP BY phase, state
"""

_RETRY = """
UPDATE ablate_slot SET state = 'waiting', failures = 0, losses = 0, reached = 0, reason = NULL, not_before = now(),
                       stale = true
WHERE study_id = :study AND state IN ('failed', 'cancelled') RETURNING id
"""

_CANCEL = """
WITH hit AS (
    UPDATE ablate_slot SET state = 'cancelled', reason = NULL, stale = true
    WHERE study_id = :study AND state IN ('waiting', 'leased') RETURNING id, token
), freed AS (
    DELETE FROM ablate_lease l USING hit WHERE l.slot_id = hit.id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = 'cancelled'
    FROM hit WHERE a.slot_id = hit.id AND a.token = hit.token AND a.ended_at IS NULL
)
SELECT id FROM hit
"""

_SEAL = """
UPDATE ablate_study SET seal = CAST(:seal AS json), sealed_at = now()
WHERE id = :study AND sealed_at IS NULL RETURNING id
"""

_EXTENDED = """
UPDATE ablate_study SET seal = CAST(:seal AS json)
WHERE id = :study AND coalesce(seal::jsonb -> 'extensions', '[]') = CAST(:before AS jsonb) RETURNING id
"""

_OPEN = "SELECT id FROM ablate_study WHERE name = :name AND (sealed_at IS NULL OR :confirms) FOR UPDATE"

_STOP = "UPDATE ablate_study SET stop_requested_at = CASE WHEN :on THEN now() END WHERE id = :study"

_LONGEST_SILENCE_S = 90.0
RECENT_S = 600.0  # how far back a machine's pace is looked for
_AGENTS = """
SELECT a.id, a.host, a.pid, a.device, a.facts, a.started_at, a.seen_at, a.ended_at, s.key AS slot, l.progress,
       extract(epoch FROM clock_timestamp() - a.seen_at)::float8 AS silent_s,
       extract(epoch FROM l.deadline - clock_timestamp())::float8 AS lease_left_s,
       coalesce(d.n_done, 0) AS n_done, coalesce(d.n_recent, 0) AS n_recent
FROM ablate_agent a
LEFT JOIN (
    SELECT t.agent_id, count(*) AS n_done,
           count(*) FILTER (WHERE t.ended_at > clock_timestamp() - make_interval(secs => :recent_s)) AS n_recent
    FROM ablate_attempt t JOIN ablate_slot f ON f.id = t.slot_id
    WHERE f.study_id = :study AND t.outcome = 'done' GROUP BY t.agent_id
) d ON d.agent_id = a.id
LEFT JOIN LATERAL (  -- an agent may hold the next slot already: the one that it trains is shown
    SELECT slot_id, progress, deadline FROM ablate_lease WHERE agent_id = a.id
    ORDER BY progress IS NULL, deadline LIMIT 1
) l ON true
LEFT JOIN ablate_slot s ON s.id = l.slot_id
WHERE a.study_id = :study ORDER BY a.started_at, a.id
"""


_DURATIONS = """
SELECT s.phase, s.context::jsonb AS context, avg(extract(epoch FROM a.ended_at - a.started_at))::float8 AS seconds
FROM ablate_attempt a JOIN ablate_slot s ON s.id = a.slot_id
WHERE s.study_id = :study AND a.outcome = 'done' AND s.reused_from IS NULL GROUP BY s.phase, s.context::jsonb
"""

_RESULT = """
SELECT r.scores, r.class_scores, r.digests, r.facts FROM ablate_result r JOIN ablate_slot s ON s.id = r.slot_id
WHERE s.study_id = :study AND s.id = :slot
"""

_SLOTS = f"SELECT {lease.SLOT_COLUMNS} FROM ablate_slot WHERE study_id = :study ORDER BY ordinal"  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A study as the store holds it; ``id`` is unique for ever, in every store."""

    id: str
    name: str
    spec: dict[str, Any]
    spec_digest: str
    created_at: datetime
    seal: dict[str, Any] | None
    sealed_at: datetime | None
    stop_requested_at: datetime | None
    max_attempts: int

    @property
    def stop_requested(self) -> bool:
        """Whether its agents were asked to end."""
        return self.stop_requested_at is not None


@dataclass(frozen=True)
class ResultRow:
    """What came out of one slot.

    Attributes:
        scores: by name; None where one was not finite.
        class_scores: by split and class, AUROC and AUPRC.
        digests: data, encoder, code and environment.
        facts: the rest.
    """

    scores: Mapping[str, float | None]
    class_scores: Mapping[str, Mapping[str, tuple[float | None, float | None]]]
    digests: Mapping[str, str]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """An agent and what it does now.

    Attributes:
        slot: key of the slot that it fills, None when it has none.
        progress: what it last told of it.
        silent_s: time since its last sign of life.
        lease_left_s: time until its lease runs out, negative when it did.
        n_done: slots that it has filled; ``n_recent`` of them in the last ``RECENT_S``.
    """

    id: str
    host: str
    pid: int
    device: str
    facts: dict[str, Any]
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    slot: str | None
    progress: Progress | None
    silent_s: float
    lease_left_s: float | None
    n_done: int
    n_recent: int

    @property
    def is_at_work(self) -> bool:
        """Whether it has neither ended nor fallen silent for longer than its lease, or than an idle agent ever is."""
        return self.ended_at is None and ((self.lease_left_s or 0.0) > 0 or self.silent_s < _LONGEST_SILENCE_S)


@dataclass(frozen=True)
class Counts:
    """How many slots stand where, by phase.

    Attributes:
        by_phase: slots in each state.
        stopped: of the done ones, those that were stopped early.
        reused: of the done ones, those whose result another study's slot had.
    """

    by_phase: Mapping[str, Mapping[SlotState, int]]
    stopped: Mapping[str, int] = field(default_factory=dict)
    reused: Mapping[str, int] = field(default_factory=dict)

    def of(self, state: SlotState, *, phase: str | None = None) -> int:
        """Slots in ``state``, of one phase or of all."""
        return sum(states.get(state, 0) for name, states in self.by_phase.items() if phase in (None, name))

    def unfinished(self, *, phase: str | None = None) -> int:
        """Slots that wait or are being filled."""
        return self.of(SlotState.WAITING, phase=phase) + self.of(SlotState.LEASED, phase=phase)

    def stopped_early(self, *, phase: str | None = None) -> int:
        """Done slots that were stopped early."""
        return sum(n for name, n in self.stopped.items() if phase in (None, name))

    def taken(self, *, phase: str | None = None) -> int:
        """Done slots whose result was taken from another study."""
        return sum(n for name, n in self.reused.items() if phase in (None, name))

    def total(self, *, phase: str | None = None) -> int:
        """All slots."""
        return sum(self.of(state, phase=phase) for state in SlotState)


class Studies(StoreAccess):
    """Studies and their slots as a whole."""

    def register(
        self,
        name: str,
        spec: Mapping[str, Any],
        spec_digest: str,
        slots: Sequence[PlannedSlot],
        metric_names: Sequence[str] = ("val_auroc", "val_auprc"),
        *,
        space: Mapping[str, Domain] | None = None,
        max_attempts: int = 3,
    ) -> bool:
        """Store a study with all its slots in one transaction, or find it there; True when it is new.

        Args:
            name: of the study.
            spec: as its document.
            spec_digest: of the spec.
            slots: the plan.
            metric_names: of the objectives that Optuna shows.
            space: what is searched, for Optuna's eyes.
            max_attempts: of a slot by its own fault.

        Raises:
            StoreError: a study of this name has another spec, and the message shows the keys that differ; or
                somebody's Optuna study has a name that one of ours would have.
        """
        if not self.database.rows(_READ, name=name):
            names = [name_of(name, slot.phase, slot.context) for slot in slots]
            refuse_taken(self.database, list(dict.fromkeys([*names, confirm_name(name)])))
            values = {
                "name": name, "spec": to_json(spec), "digest": spec_digest, "metric_names": to_json(list(metric_names)),
                "distributions": to_json(distribution_documents(space or {})), "max_attempts": max_attempts,
            }  # fmt: skip

            def work(connection: Connection) -> bool:
                study_id = connection.scalar(sa.text(_REGISTER), values)
                if study_id is not None:
                    connection.execute(sa.text(_PLAN), {"study": study_id, **_plan_columns(slots)})
                return study_id is not None

            if self.database.transact(work):
                return True
        row = self.database.rows(_READ, name=name)[0]
        _check_same(name, row.spec_digest, row.spec, spec, spec_digest)
        return False

    def study(self, name: str) -> StudyRow:
        """One study.

        Raises:
            StoreError: there is none of this name, or the tables are of another version.
            ForeignStore: it was there, and is not any more.
        """
        study_id = self._study_id(name)
        rows = self.database.rows(_READ_OURS, study=study_id)
        if not rows:
            raise self.database.foreign()
        check(self.database, rows[0].version)
        return StudyRow(**{column: value for column, value in rows[0]._mapping.items() if column != "version"})

    def seal(self, name: str, document: Mapping[str, Any]) -> bool:
        """Fix what will be confirmed, before anybody reads the test fold; False when there is a seal, which stays."""
        return bool(self.database.rows(_SEAL, study=self._study_id(name), seal=to_json(dict(document))))

    def extend(self, name: str, slots: Sequence[PlannedSlot]) -> int:
        """Add slots to the plan of a study, of its search only before it is sealed; gives how many were not there yet.

        Whoever adds the same slots again, at the same time too, changes nothing.
        """

        def work(connection: Connection) -> int:
            confirms = all(slot.phase == "confirm" for slot in slots)
            study_id = connection.scalar(sa.text(_OPEN), {"name": name, "confirms": confirms})
            if study_id is None:
                return 0
            return len(connection.execute(sa.text(_PLAN), {"study": study_id, **_plan_columns(slots)}).all())

        return self.database.transact(work) if slots else 0

    def extend_sealed(self, name: str, extensions: Sequence[int], slots: Sequence[PlannedSlot]) -> int:
        """Write a further extension into the seal and add its slots, both or neither; gives how many were added.

        Args:
            name: of the study.
            extensions: numbers of blocks, the new one last.
            slots: of the new one; those that are there already change nothing.

        Raises:
            StoreError: somebody else has extended the study meanwhile.
        """
        study_id, seal = self._study_id(name), {**(self.study(name).seal or {}), "extensions": list(extensions)}
        values = {"study": study_id, "seal": to_json(seal), "before": to_json(list(extensions[:-1]))}

        def work(connection: Connection) -> int | None:
            if connection.scalar(sa.text(_EXTENDED), values) is None:
                return None
            return len(connection.execute(sa.text(_PLAN), {"study": study_id, **_plan_columns(slots)}).all())

        n_added = self.database.transact(work)
        if n_added is None and list((self.study(name).seal or {}).get("extensions", [])) != list(extensions):
            raise StoreError(f"{name}: was extended by somebody else meanwhile; see `ablate status {name}`")
        return n_added or 0

    def request_stop(self, name: str) -> None:
        """Ask all agents of the study, on any machine, to give their slots back and end."""
        self.database.rows(_STOP, study=self._study_id(name), on=True)

    def clear_stop(self, name: str) -> None:
        """Take the request to stop back."""
        self.database.rows(_STOP, study=self._study_id(name), on=False)

    def retry_failed(self, name: str) -> int:
        """Let failed and cancelled slots wait again with all their attempts; gives their number."""
        return len(self.database.rows(_RETRY, study=self._study_id(name)))

    def cancel(self, name: str) -> int:
        """Give up every unfinished slot, also those being filled; gives their number."""
        return len(self.database.rows(_CANCEL, study=self._study_id(name)))

    def history(self, name: str, chain: str, below_generation: int) -> list[Past]:
        """The chain's finished slots of lower generations, ordered by index."""
        rows = self.database.rows(_HISTORY, study=self._study_id(name), chain=chain, generation=below_generation)
        return [
            Past(
                index=row._mapping["index"],
                params=row.params,
                scores=scores_of(row.scores),
                epochs=row.epochs,
                stopped_epoch=row.stopped_epoch,
            )
            for row in rows
        ]

    def diverged(self, name: str, chain: str, below_generation: int) -> list[dict[str, Any]]:
        """Params of the chain's slots of lower generations whose training diverged, ordered by index."""
        rows = self.database.rows(_DIVERGED, study=self._study_id(name), chain=chain, generation=below_generation)
        return [dict(row.params) for row in rows]

    def counts(self, name: str) -> Counts:
        """How many slots stand where."""
        by_phase: dict[str, Counter[SlotState]] = {}
        stopped: Counter[str] = Counter()
        reused: Counter[str] = Counter()
        for row in self.database.rows(_COUNTS, study=self._study_id(name)):
            by_phase.setdefault(row.phase, Counter())[SlotState(row.state)] = row.n
            stopped[row.phase] += row.n_stopped
            reused[row.phase] += row.n_reused
        return Counts(by_phase, stopped, reused)

    def result(self, name: str, slot_id: int) -> ResultRow:
        """What came out of one slot, without its curves and predictions.

        Raises:
            StoreError: it has no result.
        """
        rows = self.database.rows(_RESULT, study=self._study_id(name), slot=slot_id)
        if not rows:
            raise StoreError(f"study {name}: slot {slot_id} has no result; is it done?")
        row = rows[0]
        class_scores: dict[str, dict[str, tuple[float | None, float | None]]] = {}
        for split, class_name, *pair in zip(*(row.class_scores[column] for column in CLASS_COLUMNS), strict=True):
            class_scores.setdefault(split, {})[class_name] = (pair[0], pair[1])
        return ResultRow(row.scores, class_scores, row.digests, row.facts)

    def slots(self, name: str) -> list[Slot]:
        """All slots in the order of the plan."""
        return [lease.slot_of(row) for row in self.database.rows(_SLOTS, study=self._study_id(name))]

    def agents(self, name: str) -> list[AgentRow]:
        """Agents that ever worked on the study in the order of their start, with what each does now."""
        rows = self.database.rows(_AGENTS, study=self._study_id(name), recent_s=RECENT_S)
        return [AgentRow(**{**row._mapping, "progress": row.progress and Progress(**row.progress)}) for row in rows]

    def durations(self, name: str) -> dict[tuple[str, str], float]:
        """Mean seconds of a finished attempt by phase and context, this as JSON."""
        rows = self.database.rows(_DURATIONS, study=self._study_id(name))
        return {(row.phase, to_json(row.context)): row.seconds for row in rows}

    def retire(self, agent: AgentCard) -> None:
        """Note that an agent has ended in good order."""
        self.database.rows("UPDATE ablate_agent SET ended_at = now() WHERE id = :agent", agent=agent.id)


def scores_of(stored: Mapping[str, float | None]) -> dict[str, float]:
    """JSON has no word for not-a-number; what is null was not finite."""
    return {name: math.nan if score is None else score for name, score in stored.items()}


def _plan_columns(slots: Sequence[PlannedSlot]) -> dict[str, list[Any]]:
    plain = ("key", "phase", "arm", "search", "index", "generation", "chain", "priority", "seed")
    columns = {name: [getattr(slot, name) for slot in slots] for name in plain}
    columns["ordinal"] = [place if slot.ordinal is None else slot.ordinal for place, slot in enumerate(slots)]
    columns["context"] = [to_json(slot.context) for slot in slots]
    columns["params"] = [None if slot.params is None else to_json(slot.params) for slot in slots]
    return columns


def _check_same(name: str, digest: str, stored: Mapping[str, Any], spec: Mapping[str, Any], spec_digest: str) -> None:
    if digest == spec_digest:
        return
    differences = "; ".join(_differences(stored, spec)) or "nothing but their digests"
    raise StoreError(
        f"study {name}: stored with another spec ({differences}); give the file another name, or the stored values"
    )


def _differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    old, new = dict(flat(stored)), dict(flat(given))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: stored {to_json(old.get(key))}, given {to_json(new.get(key))}"
