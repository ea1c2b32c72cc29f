"""Leases: who fills which slot, until when, by the database's clock.

Each change of a slot is one statement, hence one transaction and one round trip. Locks are always taken on the slot
before its lease. The fencing token in ``ablate_slot.token`` grows with each lease, and whoever tells a result under an
older token is refused in the transaction that would write it.
"""

import random
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Row

from ablate.errors import LeaseLost
from ablate.outcome import Outcome, Progress
from ablate.store.database import Database, to_json
from ablate.store.result import artifacts_of, columns_of
from ablate.store.slot import COUNTED, FINAL, Agent, Claim, Slot, SlotState

MAX_LOSSES = 25  # a slot that takes this many machines with it is taken for the cause
_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0

SLOT_COLUMNS = (
    "id, key, phase, arm, context, index, generation, chain, seed, params, state, token, failures, reason, "
    "rungs, stopped_epoch, reused_from"
)

_CLAIM = f"""
WITH RECURSIVE lowest AS (
    -- the lowest unfinished generation of each chain, by one look into the index for each
    (SELECT chain, generation FROM ablate_slot
     WHERE study_id = :study AND state IN ('waiting', 'leased') ORDER BY chain, generation LIMIT 1)
    UNION ALL
    SELECT following.chain, following.generation FROM lowest CROSS JOIN LATERAL (
        SELECT s.chain, s.generation FROM ablate_slot s
        WHERE s.study_id = :study AND s.state IN ('waiting', 'leased') AND s.chain > lowest.chain
        ORDER BY s.chain, s.generation LIMIT 1) following
), picked AS (
    SELECT s.id FROM ablate_slot s JOIN ablate_study y ON y.id = s.study_id
    WHERE s.study_id = :study AND s.state = 'waiting' AND s.phase = ANY(:phases) AND s.not_before <= clock_timestamp()
      AND y.stop_requested_at IS NULL
      AND (s.phase <> 'confirm' OR y.sealed_at IS NOT NULL)
      -- params of a generation depend on the results of the ones before it in the same chain, on all of them
      AND (s.chain, s.generation) IN (SELECT chain, generation FROM lowest)
      AND NOT EXISTS (SELECT FROM ablate_lease WHERE nonce = :nonce)
    ORDER BY s.priority, s.ordinal
    LIMIT 1 FOR UPDATE OF s SKIP LOCKED
), taken AS (
    UPDATE ablate_slot s SET state = 'leased', token = s.token + 1, stale = true
    FROM picked WHERE s.id = picked.id RETURNING s.*
), seen AS (
    -- agents that find nothing ask again and again: most of the time they must not write
    INSERT INTO ablate_agent (id, study_id, host, pid, device, facts)
    SELECT :agent, :study, :host, :pid, :device, CAST(:facts AS json)
    WHERE NOT EXISTS (SELECT FROM ablate_agent WHERE id = :agent AND study_id = :study AND ended_at IS NULL
                                                 AND seen_at > now() - make_interval(secs => 5))
    ON CONFLICT (id) DO UPDATE SET study_id = excluded.study_id, seen_at = now(), ended_at = NULL
), leased AS (
    INSERT INTO ablate_lease (slot_id, study_id, token, nonce, agent_id, lease_s, deadline)
    SELECT id, study_id, token, :nonce, :agent, :lease_s, clock_timestamp() + make_interval(secs => :lease_s) FROM taken
), begun AS (
    INSERT INTO ablate_attempt (slot_id, token, agent_id, host, device)
    SELECT id, token, :agent, :host, :device FROM taken
), ours AS (
    SELECT * FROM taken
    UNION ALL
    -- the answer to this very claim was lost on the way: the slot is ours already
    SELECT s.* FROM ablate_lease l JOIN ablate_slot s ON s.id = l.slot_id WHERE l.nonce = :nonce
)
SELECT {SLOT_COLUMNS},
       ARRAY(SELECT coalesce(a.outcome, 'lost') FROM ablate_attempt a
             WHERE a.slot_id = ours.id AND a.token < ours.token ORDER BY a.token) AS outcomes
FROM ours
"""  # noqa: S608

_RENEW = """
WITH renewed AS (
    UPDATE ablate_lease
    SET deadline = clock_timestamp() + make_interval(secs => lease_s),
        progress = coalesce(CAST(:progress AS json), progress)
    WHERE slot_id = :slot AND token = :token RETURNING study_id
), seen AS (
    UPDATE ablate_agent SET seen_at = now() WHERE id = :agent
)
SELECT y.stop_requested_at IS NOT NULL AS stop,
       set_config('synchronous_commit', 'off', true)  -- a renewal that a crash of the server undoes does no harm
FROM renewed JOIN ablate_study y ON y.id = renewed.study_id
"""

_SET_PARAMS = """
UPDATE ablate_slot
SET params = CAST(:params AS json), rungs = CAST(:rungs AS json), asked = CAST(:asked AS text), stale = true
WHERE id = :slot AND token = :token AND state = 'leased' RETURNING id
"""

_FINISH = """
WITH filled AS (
    -- 'waiting': the lease ran out, but nobody has taken the slot since, so the late result is as good as any
    UPDATE ablate_slot
    SET state = 'done', reason = CAST(:reason AS text), stopped_epoch = CAST(:stopped_epoch AS int), stale = true
    WHERE id = :slot AND token = :token AND state IN ('leased', 'waiting') RETURNING id, study_id
), freed AS (
    DELETE FROM ablate_lease l USING filled WHERE l.slot_id = filled.id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = 'done', message = CAST(:reason AS text)
    FROM filled WHERE a.slot_id = filled.id AND a.token = :token
), told AS (
    INSERT INTO ablate_result (slot_id, token, scores, epochs, class_scores, seconds, digests, facts, fingerprint)
    SELECT id, :token, CAST(:scores AS json), CAST(:epochs AS json), CAST(:class_scores AS json),
           CAST(:seconds AS json), CAST(:digests AS json), CAST(:facts AS json), CAST(:fingerprint AS text)
    FROM filled
), kept AS (
    INSERT INTO ablate_artifact (study_id, slot_id, name, content)
    SELECT filled.study_id, filled.id, a.name, a.content
    FROM filled, unnest(CAST(:names AS text[]), CAST(:contents AS bytea[])) AS a (name, content)
)
SELECT id FROM filled
"""

_END = """
WITH hit AS (
    UPDATE ablate_slot s
    SET failures = s.failures + :counts, losses = s.losses + :lost, reason = :reason, stale = true,
        not_before = clock_timestamp() + make_interval(secs => :backoff_s * power(2, least(s.failures, 10))),
        state = CASE WHEN :final OR (:counts = 1 AND s.failures + 1 >= y.max_attempts)
                          OR s.losses + :lost >= :max_losses
                     THEN 'failed' ELSE 'waiting' END
    FROM ablate_study y
    WHERE y.id = s.study_id AND s.id = :slot AND s.token = :token AND s.state = 'leased' RETURNING s.id, s.state
), freed AS (
    DELETE FROM ablate_lease l USING hit WHERE l.slot_id = hit.id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = :outcome, message = :message
    FROM hit WHERE a.slot_id = hit.id AND a.token = :token
)
SELECT state FROM hit
"""

_REAP = """
WITH dead AS (
    SELECT s.id FROM ablate_lease l JOIN ablate_slot s ON s.id = l.slot_id
    WHERE l.study_id = :study AND l.deadline < clock_timestamp()
      -- nobody could renew while the server was away: each gets one lease time to come back
      AND pg_postmaster_start_time() + make_interval(secs => l.lease_s) < clock_timestamp()
    FOR UPDATE OF s SKIP LOCKED
), gone AS (
    DELETE FROM ablate_lease l USING dead WHERE l.slot_id = dead.id AND l.deadline < clock_timestamp()
    RETURNING l.slot_id, l.token, l.agent_id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = 'lease_expired', message = 'no sign of life from its agent'
    FROM gone WHERE a.slot_id = gone.slot_id AND a.token = gone.token
)
UPDATE ablate_slot s
SET losses = s.losses + 1, stale = true,
    state = CASE WHEN s.losses + 1 >= :max_losses THEN 'failed' ELSE 'waiting' END,
    reason = CASE WHEN s.losses + 1 >= :max_losses
                  THEN 'lost with its agent ' || (s.losses + 1) || ' times' ELSE 'lease_expired' END
FROM gone WHERE s.id = gone.slot_id AND s.state = 'leased' AND s.token = gone.token
RETURNING s.id
"""

_STANDING = """
SELECT s.key, s.token, s.state, a.outcome
FROM ablate_slot s LEFT JOIN ablate_attempt a ON a.slot_id = s.id AND a.token = :token WHERE s.id = :slot
"""


def claim(
    database: Database, study_id: int, study: str, agent: Agent, *, lease_s: float, phases: Sequence[str]
) -> Claim | None:
    """Take the next open slot for ``agent``; None when there is none now."""
    values = {
        "study": study_id, "phases": list(phases), "nonce": secrets.token_hex(12), "lease_s": float(lease_s),
        "agent": agent.id, "host": agent.host, "pid": agent.pid, "device": agent.device, "facts": to_json(agent.facts),
    }  # fmt: skip
    rows = database.rows(_CLAIM, **values)
    if not rows and reap(database, study_id):
        rows = database.rows(_CLAIM, **values)
    if not rows:
        return None
    row = rows[0]
    return Claim(
        study=study, slot=slot_of(row), token=row.token, agent=agent, lease_s=lease_s, outcomes=tuple(row.outcomes)
    )


def renew(database: Database, held: Claim, progress: Progress | None) -> bool:
    """Extend the lease by its length from now; True when the study was asked to stop.

    Raises:
        LeaseLost: the slot belongs to somebody else, is done or was cancelled.
    """
    text = None if progress is None else to_json(progress.document())
    rows = database.rows(_RENEW, slot=held.slot.id, token=held.token, agent=held.agent.id, progress=text)
    if not rows:
        raise lost(database, held, "cannot be renewed")
    return bool(rows[0].stop)


def set_params(
    database: Database,
    held: Claim,
    params: Mapping[str, Any],
    *,
    rungs: Mapping[str, Any] | None = None,
    asked: str | None = None,
) -> None:
    """Store the params of a claimed slot, and what it must reach to be trained to its end.

    Raises:
        LeaseLost: the slot belongs to somebody else.
    """
    told = {
        "params": to_json(dict(params)),
        "rungs": None if rungs is None else to_json(dict(rungs)),
        "asked": asked,
    }
    if not database.rows(_SET_PARAMS, slot=held.slot.id, token=held.token, **told):
        raise lost(database, held, "its params are dropped")


def finish(database: Database, held: Claim, outcome: Outcome) -> None:
    """Store what came out of the slot, once and for all; telling the same again changes nothing.

    Raises:
        LeaseLost: a later lease was given, or the slot is finished otherwise: the result is dropped.
    """
    columns = {name: to_json(value) for name, value in columns_of(outcome).items()}
    artifacts, early_stop = artifacts_of(outcome), outcome.early_stop
    rows = database.rows(
        _FINISH,
        slot=held.slot.id,
        token=held.token,
        names=list(artifacts),
        contents=list(artifacts.values()),
        reason=early_stop and early_stop.reason,
        fingerprint=outcome.fingerprint or None,
        stopped_epoch=early_stop and early_stop.epoch,
        **columns,
    )
    if not rows and not ended(database, held, "done"):
        raise lost(database, held, "its result is dropped")


def fail(database: Database, held: Claim, kind: str, message: str, *, counts: bool | None = None) -> SlotState:
    """End the attempt by failure; gives where the slot stands then: FAILED for good, or WAITING for another attempt.

    Raises:
        LeaseLost: the attempt was ended by somebody else.
    """
    is_counted = kind in COUNTED if counts is None else counts
    backoff_s = min(_BACKOFF_S * random.uniform(0.5, 1.5), _MAX_BACKOFF_S) if is_counted else 0.0  # noqa: S311
    return _end(database, held, outcome=kind, message=message, reason=f"{kind}: {message}", counts=int(is_counted),
                lost=int(not is_counted), final=kind in FINAL, backoff_s=backoff_s)  # fmt: skip


def release(database: Database, held: Claim, reason: str) -> None:
    """Give the slot back unfilled and at once, without blame.

    Raises:
        LeaseLost: the attempt was ended by somebody else.
    """
    _end(
        database,
        held,
        outcome="released",
        message=reason,
        reason=f"released: {reason}",
        counts=0,
        lost=0,
        final=False,
        backoff_s=0.0,
    )


def reap(database: Database, study_id: int) -> int:
    """Take back the slots whose leases ran out; gives their number."""
    return len(database.rows(_REAP, study=study_id, max_losses=MAX_LOSSES))


def slot_of(row: Row[Any]) -> Slot:
    """A slot from a row of ``SLOT_COLUMNS``."""
    return Slot(
        id=row.id, key=row.key, phase=row.phase, arm=row.arm, context=row.context, index=row._mapping["index"],
        generation=row.generation, chain=row.chain, seed=row.seed, params=row.params, state=SlotState(row.state),
        attempts=row.token, failures=row.failures, reason=row.reason,
        rungs=row.rungs, stopped_epoch=row.stopped_epoch, reused_from=row.reused_from,
    )  # fmt: skip


def _end(database: Database, held: Claim, **values: Any) -> SlotState:
    rows = database.rows(_END, slot=held.slot.id, token=held.token, max_losses=MAX_LOSSES, **values)
    if rows:
        return SlotState(rows[0].state)
    if ended(database, held, values["outcome"]):
        return SlotState.WAITING
    raise lost(database, held, "its end is not recorded")


def ended(database: Database, held: Claim, outcome: str) -> bool:
    """Whether this very attempt ended so already: the answer to an earlier call was lost on the way."""
    rows = database.rows(_STANDING, slot=held.slot.id, token=held.token)
    return bool(rows) and rows[0].outcome == outcome


def lost(database: Database, held: Claim, consequence: str) -> LeaseLost:
    """The error that says how the slot stands now, and what follows from that."""
    rows = database.rows(_STANDING, slot=held.slot.id, token=held.token)
    stands = f"it is {rows[0].state} under lease {rows[0].token}" if rows else "it is gone"
    return LeaseLost(
        f"slot {held.slot.key}: lease {held.token} of agent {held.agent.id} is lost ({stands}); {consequence}"
    )
