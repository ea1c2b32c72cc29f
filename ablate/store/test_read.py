"""The ledger of the sealed test fold: a row before each reading, and none without right."""

from ablate.ecg.seal import Permit
from ablate.errors import LeaseLost, SealedError
from ablate.store.access import StoreAccess
from ablate.store.slot import Claim

_OPEN = """
INSERT INTO ablate_test_read (slot_id, token, agent_id)
SELECT s.id, l.token, l.agent_id
FROM ablate_attempt a
JOIN ablate_slot s ON s.id = a.slot_id
JOIN ablate_study y ON y.id = s.study_id
JOIN ablate_lease l ON l.slot_id = s.id AND l.token = a.token
WHERE a.nonce = :nonce AND y.id = :study AND s.phase = 'confirm' AND y.sealed_at IS NOT NULL
  AND l.deadline > clock_timestamp()
ON CONFLICT (slot_id, token) DO UPDATE SET opened_at = ablate_test_read.opened_at
RETURNING slot_id
"""


class TestFoldLedger(StoreAccess):
    """Who opened the test fold, and for what."""

    __test__ = False  # not a test class, whatever pytest thinks

    def open_test(self, claim: Claim) -> Permit:
        """Leave to read the test fold for one claimed confirmation slot, after writing it into the ledger.

        Raises:
            SealedError: the study is not sealed, or the slot is none of its confirmation.
            LeaseLost: the lease ran out.
        """
        if self.database.rows(_OPEN, nonce=claim.nonce, study=claim.study_id):
            return Permit(study=claim.study, slot=claim.slot.key)
        slot = claim.slot
        if slot.phase != "confirm":
            raise SealedError(f"slot {slot.key}: phase {slot.phase} may not read the test fold; only confirm may")
        rows = self.database.rows("SELECT sealed_at FROM ablate_study WHERE id = :study", study=claim.study_id)
        if not rows or rows[0].sealed_at is None:
            raise SealedError(f"study {claim.study}: not sealed, so its test fold stays closed; `ablate seal` it first")
        raise LeaseLost(f"slot {slot.key}: lease {claim.token} ran out, so the test fold stays closed")
