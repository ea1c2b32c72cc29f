"""The ledger of the sealed test fold: a row before each reading, and none without right."""

from typing import Any

from ablate.ecg.seal import Permit
from ablate.errors import LeaseLost, SealedError
from ablate.store.database import Database
from ablate.store.slot import Claim

_OPEN = """
INSERT INTO ablate_test_read (slot_id, token, agent_id)
SELECT s.id, l.token, l.agent_id
FROM ablate_slot s
JOIN ablate_study y ON y.id = s.study_id
JOIN ablate_lease l ON l.slot_id = s.id AND l.token = :token
WHERE s.id = :slot AND s.phase = 'confirm' AND y.sealed_at IS NOT NULL AND l.deadline > clock_timestamp()
ON CONFLICT (slot_id, token) DO UPDATE SET opened_at = ablate_test_read.opened_at
RETURNING slot_id
"""

_READS = """
SELECT r.slot_id, s.key, r.opened_at, r.agent_id AS agent
FROM ablate_test_read r JOIN ablate_slot s ON s.id = r.slot_id WHERE s.study_id = :study ORDER BY r.opened_at, r.slot_id
"""


def open_test(database: Database, held: Claim) -> Permit:
    """Write the ledger row of one attempt and issue its permit.

    Raises:
        SealedError: the study is not sealed, or the slot is none of its confirmation.
        LeaseLost: the lease ran out.
    """
    if database.rows(_OPEN, slot=held.slot.id, token=held.token):
        return Permit(study=held.study, slot=held.slot.key)
    if held.slot.phase != "confirm":
        raise SealedError(f"slot {held.slot.key}: phase {held.slot.phase} may not read the test fold; only confirm may")
    rows = database.rows("SELECT sealed_at FROM ablate_study WHERE name = :name", name=held.study)
    if not rows or rows[0].sealed_at is None:
        raise SealedError(f"study {held.study}: not sealed, so its test fold stays closed; `ablate seal` it first")
    raise LeaseLost(f"slot {held.slot.key}: lease {held.token} ran out, so the test fold stays closed")


def test_reads(database: Database, study_id: int) -> list[dict[str, Any]]:
    """Every opening of the test fold, in the order of time."""
    return [dict(row._mapping) for row in database.rows(_READS, study=study_id)]
