"""Blocks added to a sealed study after its last look, in a real store."""

import pytest
from growing_study import LOOKS, begin, blocks, fill, spec

from ablate.errors import StoreError
from ablate.report.evidence import weigh
from ablate.report.seal import seal_limits
from ablate.stats.contrast import Contrast
from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.study.confirmation import Step, advance
from ablate.study.extension import extend
from ablate.study.spec import Spec


@pytest.fixture
def agent() -> AgentCard:
    return AgentCard(id="a", host="h", pid=1)


def finished(store: Store, agent: AgentCard, **inference: object) -> Spec:
    """Sealed for five blocks, all done; lp is told apart, sd is not."""
    study = spec(**{"replicates": 5, "looks": [], "later": 0.2} | inference)  # type: ignore[arg-type]
    begin(store, study)
    fill(store, study, agent)
    return study


def by_auroc(store: Store) -> dict[str, Contrast]:
    return {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}


def test_an_extension_adds_blocks_for_what_is_open_and_is_one_more_look(store: Store, agent: AgentCard) -> None:
    study = finished(store, agent)
    before = by_auroc(store)
    assert (before["lp - ft"].is_decided, before["sd - ft"].is_decided) == (True, False)
    assert extend(store, study, 8) == 6
    assert blocks(store) == {"ft": 8, "sd": 8, "lp": 5}
    assert by_auroc(store) == before  # until the further look is over
    fill(store, study, agent)
    assert advance(store, study) is Step.NONE
    after = by_auroc(store)
    assert after["lp - ft"] == before["lp - ft"]
    assert (after["sd - ft"].n_blocks, after["sd - ft"].n_looks) == (8, 2)
    limits = " ".join(seal_limits(weigh(store.tables("growing")).study))
    assert "Extended after its last look at 5 blocks to 8: each time a further look, which may err with 0.005" in limits
    assert [reader.n_looks for reader in store.test_readers()] == [2]
    extend(store, study, 9)
    fill(store, study, agent)
    assert by_auroc(store)["sd - ft"].n_looks == 3


def test_after_looks_too(store: Store, agent: AgentCard) -> None:
    study = finished(store, agent, replicates=LOOKS[-1], looks=LOOKS, futility=0.0)
    with pytest.raises(StoreError, match="its last look is not over; `ablate run growing` goes on"):
        extend(store, study, 12)
    while advance(store, study) is Step.GREW:
        fill(store, study, agent)
    extend(store, study, 12)
    fill(store, study, agent)
    assert blocks(store) == {"ft": 12, "sd": 12, "lp": 5}
    assert by_auroc(store)["sd - ft"].n_looks == len(LOOKS) + 1


def test_whoever_extends_at_the_same_time_extends_once(store: Store, agent: AgentCard) -> None:
    study = finished(store, agent)
    extend(store, study, 8)
    assert len(store.slots("growing")) == 15 + 6
    with pytest.raises(StoreError, match="extended by somebody else"):
        store.extend_sealed("growing", [9], [])


def test_what_cannot_be_extended_is_one_line(store: Store, agent: AgentCard) -> None:
    study = spec(replicates=5, looks=[], later=0.2)
    store.register(study.name, study.document(), study.digest(), [])
    with pytest.raises(StoreError, match=r"not sealed, so there is nothing to extend; set budget\.replicates = 8"):
        extend(store, study, 8)
    begin(store, study)
    with pytest.raises(StoreError, match="--replicates 5, but 5 are planned already"):
        extend(store, study, 5)


def test_without_a_level_kept_for_it_nothing_is_extended(store: Store, agent: AgentCard) -> None:
    study = finished(store, agent, later=0.0)
    with pytest.raises(StoreError, match=r"inference\.later = 0, so that its looks have spent"):
        extend(store, study, 8)


def test_a_study_whose_predictions_are_gone_is_not_extended(store: Store, agent: AgentCard) -> None:
    study = finished(store, agent)
    store.database.rows(
        "DELETE FROM ablate_artifact a USING ablate_slot s WHERE s.id = a.slot_id AND s.key = :key RETURNING a.id",
        key="confirm/sd/-/2",
    )
    with pytest.raises(StoreError, match="of 1 confirming trials are gone, such as confirm/sd/-/2; restore"):
        extend(store, study, 8)
    assert blocks(store) == dict.fromkeys(("ft", "sd", "lp"), 5)


def test_where_everything_is_decided_no_block_is_added(store: Store, agent: AgentCard) -> None:
    study = spec(replicates=5, looks=[], later=0.2, alpha=0.19)
    study = study.model_copy(update={"contrasts": tuple(one for one in study.contrasts if one.name == "lp - ft")})
    begin(store, study)
    fill(store, study, agent)
    with pytest.raises(StoreError, match="every contrast is decided"):
        extend(store, study, 8)
