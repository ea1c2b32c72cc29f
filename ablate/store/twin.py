"""Reuse: the result of a slot that another study filled with exactly the same is taken instead of found again.

A result is taken within the lease of the slot that it fills, in one transaction with the same fencing as any result,
and for ever says where it came from. In the confirmation the attempt must stand in the ledger of the test fold first.
"""

from collections.abc import Sequence

from ablate.store.artifact import TEST_FOLD, WEIGHTS
from ablate.store.lease import IS_OURS, Leases, of_claim
from ablate.store.slot import Claim, Past, Twin
from ablate.store.study import scores_of

# Somebody may have removed predictions to save space: what is left of such a result cannot be judged in a report.
_IS_WHOLE = """EXISTS (
    SELECT FROM ablate_artifact k
    WHERE k.slot_id = {slot}.id AND k.name = CASE {slot}.phase WHEN 'confirm' THEN 'test.npz' ELSE 'val.npz' END)"""

# A study that keeps weights takes no result that came without them, and one that keeps none takes none along.
_KEEPS = "coalesce((SELECT k.spec ->> 'keep' FROM ablate_study k WHERE k.id = :study), 'none') = 'best'"

_TWINS = f"""
SELECT DISTINCT ON (s.asked, r.fingerprint) s.id, y.name, s.key, s.asked, r.fingerprint, s.index,
       coalesce(r.digests ->> 'code', '') AS code, s.params, r.scores, r.epochs
FROM ablate_slot s JOIN ablate_result r ON r.slot_id = s.id JOIN ablate_study y ON y.id = s.study_id
WHERE s.asked = ANY(CAST(:asked AS text[])) AND s.state = 'done' AND s.study_id <> :study
  AND s.stopped_epoch IS NULL AND r.fingerprint IS NOT NULL AND {_IS_WHOLE.format(slot="s")}
  AND (s.phase <> 'confirm' OR NOT {_KEEPS} OR EXISTS (
      SELECT FROM ablate_artifact w WHERE w.slot_id = s.id AND w.name = :weights))
ORDER BY s.asked, r.fingerprint, s.reused_from IS NOT NULL, s.id  -- the one that was trained before those that took it
"""  # noqa: S608

_REUSE = f"""
WITH filled AS (
    UPDATE ablate_slot s
    SET state = 'done', stale = true, reason = 'reused from ' || y.name || ', ' || o.key,
        reused_from = coalesce(o.reused_from, json_build_object('study', y.name, 'slot', o.key))
    FROM ablate_slot o JOIN ablate_study y ON y.id = o.study_id, ablate_attempt a
    WHERE a.nonce = :nonce AND s.id = a.slot_id AND s.token = a.token AND s.study_id = :study
      AND s.state IN ('leased', 'waiting') AND {IS_OURS}
      AND o.id = :twin AND o.state = 'done' AND o.stopped_epoch IS NULL AND o.phase = s.phase
      AND {_IS_WHOLE.format(slot="o")}
      AND (s.phase <> 'confirm' OR EXISTS (
          SELECT FROM ablate_test_read t WHERE t.slot_id = s.id AND t.token = s.token))
    RETURNING s.id, s.study_id, s.token, s.phase, s.reason, o.id AS twin, o.study_id AS twin_study
), freed AS (
    DELETE FROM ablate_lease l USING filled WHERE l.slot_id = filled.id
), ended AS (
    UPDATE ablate_attempt a SET ended_at = now(), outcome = 'done', message = filled.reason
    FROM filled WHERE a.slot_id = filled.id AND a.token = filled.token
), told AS (
    INSERT INTO ablate_result (slot_id, token, scores, epochs, class_scores, seconds, digests, facts, fingerprint)
    SELECT filled.id, filled.token, r.scores, r.epochs, r.class_scores, r.seconds, r.digests, r.facts, r.fingerprint
    FROM filled JOIN ablate_result r ON r.slot_id = filled.twin
), kept AS (
    INSERT INTO ablate_artifact (study_id, slot_id, name, content, digest)
    SELECT filled.study_id, filled.id, a.name, a.content, a.digest
    FROM filled JOIN ablate_artifact a ON a.slot_id = filled.twin WHERE a.name <> :weights OR {_KEEPS}
), fold AS (
    -- the labels that its test scores are of belong to the whole study
    INSERT INTO ablate_artifact (study_id, slot_id, name, content, digest)
    SELECT filled.study_id, NULL, a.name, a.content, a.digest
    FROM filled JOIN ablate_artifact a ON a.study_id = filled.twin_study AND a.slot_id IS NULL AND a.name = :fold
    WHERE filled.phase = 'confirm' ON CONFLICT DO NOTHING
)
SELECT id FROM filled
"""  # noqa: S608


class Twins(Leases):
    """Slots of other studies that were asked for the same."""

    def twins(self, name: str, asked: Sequence[str]) -> list[Twin]:
        """Finished slots of other studies that were asked for the same.

        Trials that were stopped early are none, nor are those whose predictions have gone, nor, where this study
        keeps weights, confirmed ones without them.
        """
        return [
            Twin(
                slot_id=row.id,
                study=row.name,
                key=row.key,
                asked=row.asked,
                fingerprint=row.fingerprint,
                code=row.code,
                past=Past(
                    index=row._mapping["index"], params=row.params, scores=scores_of(row.scores), epochs=row.epochs
                ),
            )
            for row in self.database.rows(_TWINS, study=self._study_id(name), asked=list(asked), weights=WEIGHTS)
        ]

    def reuse(self, claim: Claim, twin_id: int) -> None:
        """Fill a claimed slot with the result of another, which it says for ever; telling it again changes nothing.

        Raises:
            LeaseLost: a later lease was given, the slot is finished otherwise, or there is no such result.
        """
        values = {**of_claim(claim), "twin": twin_id, "fold": TEST_FOLD, "weights": WEIGHTS}
        if not self.database.rows(_REUSE, **values) and self._ending(claim, "done") is None:
            raise self._lost(claim, f"the result of slot {twin_id} is not taken")
