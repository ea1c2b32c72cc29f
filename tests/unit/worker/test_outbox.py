"""What is spooled can be told by another process."""

import json

from ablate.store.slot import Agent, Claim, Slot, SlotState
from ablate.worker.outbox import claim_document, claim_from

CLAIM = Claim(
    study="s",
    slot=Slot(
        id=3, key="search/ft/-/0", phase="search", arm="ft", context={"data_fraction": 0.1}, index=0, generation=0,
        chain="ft|{}", seed=2**62, params={"ft_lr": 0.1 + 0.2}, state=SlotState.LEASED, attempts=1, failures=0,
        reason=None,
    ),
    token=5,
    agent=Agent(id="a", host="h", pid=1, facts={"code": "c"}),
    lease_s=60.0,
    outcomes=("out_of_memory",),
)  # fmt: skip


def test_claim_comes_back_from_its_document():
    assert claim_from(json.loads(json.dumps(claim_document(CLAIM)))) == CLAIM
