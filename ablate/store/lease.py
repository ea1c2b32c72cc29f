"""Leases: who fills which slot, until when, by the database's clock.

Each change of a slot is one statement, hence one transaction and one round trip. Locks are always taken on the slot
before its lease. The fencing token in ``ablate_slot.token`` grows with each lease, and whoever tells a result under an
older token is refused in the transaction that would write it. Numbers of slots and tokens are small and the same in
every store, so an attempt is known by a nonce: after another database has appeared at the address, or an older dump was
restored, it is not there, or no longer the slot's latest.
"""

import random
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Row

from ablate import digest
from ablate.errors import LeaseLost
from ablate.outcome import Outcome, Progress
from ablate.store.access import StoreAccess
from ablate.store.database import to_json
from ablate.store.result import artifacts_of, columns_of
from ablate.store.schema_version import HEAD, VERSION_TABLE
from ablate.store.slot import COUNTED, FINAL, AgentCard, Claim, Slot, SlotState

PHASES = ("search", "confirm")
MAX_LOSSES = 25  # a slot that takes this many machines with it, and comes no further, is taken for the cause
_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0

IS_OURS = f"(SELECT version_num FROM {VERSION_TABLE}) = :version"  # noqa: S608 - tables that we know

SLOT_COLUMNS = (
    "id, key, phase, arm, context, search, index, generation, chain, seed, params, state, token, failures, reason, "
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
      AND y.stop_requested_at IS NULL AND {IS_OURS}
      AND (s.phase <> 'confirm' OR y.sealed_at IS NOT NULL)
      -- params of a generation depend on the results of the ones before it in the same chain, on all of them
      AND (s.chain, s.generation) IN (SELECT chain, generation FROM lowest)
      AND NOT EXISTS (SELECT FROM ablate_attempt WHERE nonce = :nonce)
    ORDER BY s.priority, s.ordinal
    LIMIT 1 FOR UPDATE OF s SKIP LOCKED
), taken AS (
    UPDATE ablate_slot s SET state = 'leased', token = s.token + 1, reason = NULL, stale = true
    FROM picked WHERE s.id = picked.id RETURNING s.*
), seen AS (
    -- agents that find nothing ask again and again: most of the time they must not write
    INSERT INTO ablate_agent (id, study_id, host, pid, device, facts)
    SELECT :agent, y.id, :host, :pid, :device, CAST(:facts AS json) FROM ablate_study y
    WHERE y.id = :study AND {IS_OURS}
      AND NOT EXISTS (SELECT FROM ablate_agent WHERE id = :agent AND study_id = :study AND ended_at IS NULL
                                                 AND seen_at > now() - make_interval(secs => 5))
    ON CONFLICT (id) DO UPDATE SET study_id = excluded.study_id, seen_at = now(), ended_at = NULL
), leased AS (
    INSERT INTO ablate_lease (slot_id, study_id, token, agent_id, lease_s, deadline)
    SELECT id, study_id, token, :agent, :lease_s, clock_timestamp() + make_interval(secs => :lease_s) FROM taken
), begun AS (
    INSERT INTO ablate_attempt (slot_id, token, nonce, agent_id, host, device)
    SELECT id, token, :nonce, :agent, :host, :device FROM taken
), ours AS (
    SELECT * FROM taken
    UNION ALL
    -- the answer to this very claim was lost on the way: the slot is ours already
    SELECT s.* FROM ablate_attempt a JOIN ablate_lease l USING (slot_id, token) JOIN ablate_slot s ON s.id = l.slot_id
    WHERE a.nonce = :nonce
)
SELECT {SLOT_COLUMNS},
       ARRAY(SELECT coalesce(a.outcome, 'lost') FROM ablate_attempt a
             WHERE a.slot_id = ours.id AND a.token < ours.token ORDER BY a.token) AS outcomes
FROM ours
"""  # noqa: S608

_RENEW = f"""
WITH renewed AS (
    UPDATE ablate_lease l
    SET deadline = clock_timestamp() + make_interval(secs => l.lease_s),
        progress = coalesce(CAST(:progress AS json), l.progress)
    FROM ablate_attempt a
    WHERE a.nonce = :nonce AND l.slot_id = a.slot_id AND l.token = a.token AND l.study_id = :study AND {IS_OURS}
    RETURNING l.study_id
), seen AS (
    UPDATE ablate_agent SET seen_at = now() WHERE id = :agent
)
SELECT y.stop_requested_at IS NOT NULL AS stop,
       set_config('synchronous_commit', 'off', true)  -- a renewal that a crash of the server undoes does no harm
FROM renewed JOIN ablate_study y ON y.id = renewed.study_id
"""  # noqa: S608

_SET_PARAMS = f"""
UPDATE ablate_slot s
SET params = CAST(:params AS json), rungs = CAST(:rungs AS json), asked = CAST(:asked AS text), stale = true
FROM ablate_attempt a
WHERE a.nonce = :nonce AND s.id = a.slot_id AND s.token = a.token AND s.study_id = :study AND s.state = 'leased'
  AND {IS_OURS}
RETURNING s.id
"""  # noqa: S608

_FINISH = f"""
WITH filled AS (
    -- 'waiting': the lease ran out, but nobody has taken the slot since, so the late result is as good as any
    UPDATE ablate_slot s
    SET state = 'done', reason = CAST(:reason AS text), stopped_epoch = CAST(:stopped_epoch AS int), stale = true
    FROM ablate_attempt a
    WHERE a.nonce = :nonce AND s.id = a.slot_id AND s.token = a.token AND s.study_id = :study
      AND s.state IN ('leased', 'waiting') AND {IS_OURS}
    RETURNING s.id, s.study_id, s.token
), freed AS (
    DELETE FROM ablate_lease l USING filled WHERE l.slot_id = filled.id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = 'done', message = CAST(:reason AS text)
    FROM filled WHERE a.slot_id = filled.id AND a.token = filled.token
), told AS (
    INSERT INTO ablate_result (slot_id, token, scores, epochs, class_scores, seconds, digests, facts, fingerprint)
    SELECT id, token, CAST(:scores AS json), CAST(:epochs AS json), CAST(:class_scores AS json),
           CAST(:seconds AS json), CAST(:digests AS json), CAST(:facts AS json), CAST(:fingerprint AS text)
    FROM filled
), kept AS (
    INSERT INTO ablate_artifact (study_id, slot_id, name, content, digest)
    SELECT filled.study_id, filled.id, a.name, a.content, a.digest
    FROM filled, unnest(CAST(:names AS text[]), CAST(:contents AS bytea[]), CAST(:content_digests AS text[]))
         AS a (name, content, digest)
)
SELECT id FROM filled
"""  # noqa: S608

_POINT = """
       coalesce((l.progress ->> 'epoch')::int, 0) + CASE l.progress ->> 'stage' WHEN 'finetune' THEN 1000000 ELSE 0 END
"""  # how far an attempt had come; fine-tuning follows the probe

_END = f"""
WITH held AS (
    SELECT l.slot_id, l.token, {_POINT} AS point
    FROM (SELECT a.slot_id, a.token, coalesce(CAST(:progress AS json), o.progress) AS progress
          FROM ablate_attempt a LEFT JOIN ablate_lease o USING (slot_id, token) WHERE a.nonce = :nonce) l
), hit AS (
    UPDATE ablate_slot s
    SET failures = s.failures + :counts, stale = true,
        -- a loss after the furthest point so far is the first of a new count
        losses = CASE WHEN :lost = 0 THEN s.losses WHEN held.point > s.reached THEN 1 ELSE s.losses + 1 END,
        reached = greatest(s.reached, held.point),
        not_before = clock_timestamp()
            + make_interval(secs => :jitter * least(:backoff_s * power(2, least(s.failures, 10)), :max_backoff_s)),
        reason = CASE WHEN :counts = 1 OR (:lost = 1 AND s.losses + 1 >= :max_losses AND held.point <= s.reached)
                      THEN :reason END,
        state = CASE WHEN :final OR (:counts = 1 AND s.failures + 1 >= y.max_attempts)
                          OR (:lost = 1 AND s.losses + 1 >= :max_losses AND held.point <= s.reached)
                     THEN 'failed' ELSE 'waiting' END
    FROM ablate_study y, held
    WHERE y.id = :study AND s.study_id = y.id AND s.id = held.slot_id AND s.token = held.token AND s.state = 'leased'
      AND {IS_OURS}
    RETURNING s.id, s.state, s.token
), freed AS (
    DELETE FROM ablate_lease l USING hit WHERE l.slot_id = hit.id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = :outcome, message = :message
    FROM hit WHERE a.slot_id = hit.id AND a.token = hit.token
)
SELECT state FROM hit
"""  # noqa: S608

_REAP = f"""
WITH dead AS (
    SELECT s.id FROM ablate_lease l JOIN ablate_slot s ON s.id = l.slot_id
    WHERE l.study_id = :study AND l.deadline < clock_timestamp()
      -- nobody could renew while the server was away: each gets one lease time to come back
      AND pg_postmaster_start_time() + make_interval(secs => l.lease_s) < clock_timestamp()
    FOR UPDATE OF s SKIP LOCKED
), gone AS (
    DELETE FROM ablate_lease l USING dead WHERE l.slot_id = dead.id AND l.deadline < clock_timestamp()
    RETURNING l.slot_id, l.token, l.agent_id, {_POINT} AS point
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = 'lease_expired', message = 'no sign of life from its agent'
    FROM gone WHERE a.slot_id = gone.slot_id AND a.token = gone.token
)
UPDATE ablate_slot s
SET losses = CASE WHEN gone.point > s.reached THEN 1 ELSE s.losses + 1 END, reached = greatest(s.reached, gone.point),
    stale = true,
    state = CASE WHEN s.losses + 1 >= :max_losses AND gone.point <= s.reached THEN 'failed' ELSE 'waiting' END,
    reason = CASE WHEN s.losses + 1 >= :max_losses AND gone.point <= s.reached
                  THEN 'lost with its agent ' || (s.losses + 1) || ' times' END
FROM gone WHERE s.id = gone.slot_id AND s.state = 'leased' AND s.token = gone.token
RETURNING s.id
"""  # noqa: S608

_STANDING = """
SELECT s.key, s.token, s.state, a.outcome
FROM ablate_slot s LEFT JOIN ablate_attempt a ON a.slot_id = s.id AND a.nonce = :nonce
WHERE s.id = :slot AND s.study_id = :study
"""


class Leases(StoreAccess):
    """Claims of slots, and how they end."""

    def claim(
        self, name: str, agent: AgentCard, *, lease_s: float = 60.0, phases: Sequence[str] = PHASES
    ) -> Claim | None:
        """Take the next open slot; None when there is none now: all finished, all leased, or the study is to stop.

        Open is a waiting slot whose chain has no unfinished slot of a lower generation, and in phase "confirm" only
        once the study is sealed.
        """
        study_id, nonce = self._study_id(name), secrets.token_hex(12)
        values = {
            "study": study_id, "version": HEAD, "phases": list(phases), "nonce": nonce, "lease_s": float(lease_s),
            "agent": agent.id, "host": agent.host, "pid": agent.pid, "device": agent.device,
            "facts": to_json(agent.facts),
        }  # fmt: skip
        rows = self.database.rows(_CLAIM, **values)
        if not rows and self.reap(name):
            rows = self.database.rows(_CLAIM, **values)
        if not rows:
            return None
        row = rows[0]
        return Claim(
            study=name, study_id=study_id, slot=slot_of(row), token=row.token, nonce=nonce, agent=agent,
            lease_s=lease_s, outcomes=tuple(row.outcomes),
        )  # fmt: skip

    def renew(self, claim: Claim, progress: Progress | None = None) -> bool:
        """Extend the lease by its length from now and note the progress; True when the study was asked to stop.

        Raises:
            LeaseLost: the slot belongs to somebody else, is finished or was cancelled.
        """
        text = None if progress is None else to_json(progress.document())
        rows = self.database.rows(_RENEW, **of_claim(claim), agent=claim.agent.id, progress=text)
        if not rows:
            raise self._lost(claim, "cannot be renewed")
        return bool(rows[0].stop)

    def set_params(
        self,
        claim: Claim,
        params: Mapping[str, Any],
        *,
        rungs: Mapping[str, Any] | None = None,
        asked: str | None = None,
    ) -> None:
        """Store the params proposed for a claimed slot.

        Args:
            claim: of the slot.
            params: by name.
            rungs: what it must reach to be trained to its end.
            asked: digest of all that it is asked for, by which other studies find it.

        Raises:
            LeaseLost: the slot belongs to somebody else.
        """
        texts = {"params": to_json(dict(params)), "rungs": None if rungs is None else to_json(dict(rungs))}
        if not self.database.rows(_SET_PARAMS, **of_claim(claim), **texts, asked=asked):
            raise self._lost(claim, "its params are dropped")

    def finish(self, claim: Claim, outcome: Outcome) -> None:
        """Store what came out of a slot, once and for all; telling it again changes nothing.

        Raises:
            LeaseLost: somebody else has or had the slot since, or it is finished otherwise: this result is dropped.
        """
        columns = {name: to_json(value) for name, value in columns_of(outcome).items()}
        artifacts, early_stop = artifacts_of(outcome), outcome.early_stop
        rows = self.database.rows(
            _FINISH,
            **of_claim(claim),
            names=list(artifacts),
            contents=list(artifacts.values()),
            content_digests=[digest.of_bytes(content) for content in artifacts.values()],
            reason=early_stop and early_stop.reason,
            fingerprint=outcome.fingerprint or None,
            stopped_epoch=early_stop and early_stop.epoch,
            **columns,
        )
        if not rows and self._ending(claim, "done") is None:
            raise self._lost(claim, "its result is dropped")

    def fail(self, claim: Claim, kind: str, message: str, progress: Progress | None = None) -> SlotState:
        """End an attempt by failure; gives FAILED, or WAITING when it will be tried again.

        Args:
            claim: of the slot.
            kind: "diverged" and "bad_data" fail at once; "out_of_memory", "crashed" and "hung" count against the
                study's max_attempts; others ("killed", "preempted", "machine_lost", ...) are losses, of which the
                slot bears ``MAX_LOSSES`` in a row without coming further.
            message: for people.
            progress: how far the attempt had come, where the last renewal did not say so.

        Raises:
            LeaseLost: the attempt was ended by somebody else.
        """
        is_counted = kind in COUNTED
        return self._end(
            claim, progress=progress, outcome=kind, message=message, reason=f"{kind}: {message}",
            counts=int(is_counted), lost=int(not is_counted), final=kind in FINAL,
            backoff_s=_BACKOFF_S if is_counted else 0.0,
        )  # fmt: skip

    def release(self, claim: Claim, reason: str) -> None:
        """Give a slot back unfilled, at once; the attempt does not count against ``max_attempts``.

        Raises:
            LeaseLost: the attempt was ended by somebody else.
        """
        self._end(claim, outcome="released", message=reason, reason=None, counts=0, lost=0, final=False, backoff_s=0.0)

    def reap(self, name: str) -> int:
        """Take back the slots whose leases ran out; gives their number."""
        return len(self.database.rows(_REAP, study=self._study_id(name), max_losses=MAX_LOSSES))

    def _end(self, claim: Claim, *, progress: Progress | None = None, **values: Any) -> SlotState:
        text = None if progress is None else to_json(progress.document())
        limits = {"max_losses": MAX_LOSSES, "max_backoff_s": _MAX_BACKOFF_S, "jitter": random.uniform(0.5, 1.0)}  # noqa: S311
        rows = self.database.rows(_END, **of_claim(claim), **limits, **values, progress=text)
        state = rows[0].state if rows else self._ending(claim, values["outcome"])
        if state is None:
            raise self._lost(claim, "its end is not recorded")
        return SlotState.FAILED if state == SlotState.FAILED else SlotState.WAITING

    def _ending(self, claim: Claim, outcome: str) -> str | None:
        """State of the slot if this very attempt ended so already: the answer to an earlier call was lost."""
        rows = self.database.rows(_STANDING, **of_claim(claim), slot=claim.slot.id)
        return rows[0].state if rows and rows[0].outcome == outcome else None

    def _lost(self, claim: Claim, consequence: str) -> LeaseLost:
        """The error that says how the slot stands now, and what follows from that."""
        self._check_contact(claim.study_id)
        rows = self.database.rows(_STANDING, **of_claim(claim), slot=claim.slot.id)
        stands = f"it is {rows[0].state} under lease {rows[0].token}" if rows else "it is gone"
        return LeaseLost(
            f"slot {claim.slot.key}: lease {claim.token} of agent {claim.agent.id} is lost ({stands}); {consequence}"
        )


def slot_of(row: Row[Any]) -> Slot:
    """A slot from a row of ``SLOT_COLUMNS``."""
    return Slot(
        id=row.id, key=row.key, phase=row.phase, arm=row.arm, context=row.context, search=row.search,
        index=row._mapping["index"], generation=row.generation, chain=row.chain, seed=row.seed, params=row.params,
        state=SlotState(row.state), attempts=row.token, failures=row.failures, reason=row.reason,
        rungs=row.rungs, stopped_epoch=row.stopped_epoch, reused_from=row.reused_from,
    )  # fmt: skip


def of_claim(claim: Claim) -> dict[str, str]:
    """What tells an attempt from every other, in this store and in any."""
    return {"study": claim.study_id, "nonce": claim.nonce, "version": HEAD}
