from ablate.store.slot import Agent, PlannedSlot
from ablate.store.store import Store


def test_thin(store: Store) -> None:
    slot = PlannedSlot(key="k", phase="search", arm="a", context={}, index=0, seed=1)
    assert store.register("s", {}, "d", [slot])
    claim = store.claim("s", Agent(id="a", host="h", pid=1))
    assert claim is not None
    store.finish(claim, {"scores": {"val_auroc": 0.5}})
    assert store.counts("s").unfinished() == 0
