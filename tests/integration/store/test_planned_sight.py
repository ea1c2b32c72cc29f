"""What a plan says that it can see, from earlier blocks in a real store."""

from dataclasses import replace

import numpy as np
import pytest
from growing_study import LABELS, begin, fill, spec

from ablate.ecg.split import TaskData
from ablate.report.evidence import weigh
from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.study.estimate import Source, estimate

ROWS, NONE = np.arange(len(LABELS)), np.empty(0, np.int64)
DATA = TaskData(
    classes=("a", "b"),
    signals=np.zeros((2 * len(LABELS), 12, 10), np.float16),
    fs_hz=100,
    train_rows=ROWS,
    val_rows=len(LABELS) + ROWS,
    test_rows=NONE,
    train_labels=LABELS,
    val_labels=LABELS,
    test_labels=None,
    train_patients=ROWS,
    val_patients=ROWS,
    test_patients=NONE,
    digest="d",
)


@pytest.fixture
def agent() -> AgentCard:
    return AgentCard(id="a", host="h", pid=1)


def test_spreads_are_those_of_earlier_blocks_and_it_says_whose(store: Store, agent: AgentCard) -> None:
    """Validation predictions are the test predictions here, so that the report knows the same spreads."""
    study = spec(replicates=5, looks=[])
    begin(store, study)
    fill(store, study, agent)
    past = store.tables("growing")
    (own,) = estimate(study, DATA, pace_s=0.01, past=past).sights
    known = [c for c in weigh(past).contrasts if c.metric == "auroc"]
    widest = max(known, key=lambda c: c.sd_seeds**2 / 5 + c.sd_patients**2)
    assert (own.sd_seeds, own.sd_patients) == pytest.approx((widest.sd_seeds, widest.sd_patients))
    assert own.source is Source.PILOT
    variant = replace(past, name="growing@1a2b")
    assert estimate(study, DATA, pace_s=None, past=variant).sights[0].source is Source.PILOT
    other = study.model_copy(update={"name": "another"})
    assert estimate(other, DATA, pace_s=None, past=past).sights[0].source is Source.PAST


def test_the_test_fold_stays_closed(store: Store, agent: AgentCard) -> None:
    study = spec(replicates=5, looks=[])
    begin(store, study)
    fill(store, study, agent)
    past, asked = store.tables("growing"), []

    def read(slot_id: int, split: str) -> np.ndarray:
        asked.append(split)
        return past.read_probabilities(slot_id, split)

    assert estimate(study, DATA, pace_s=None, past=replace(past, read_probabilities=read)).sights
    assert set(asked) == {"val"}


def test_without_earlier_blocks_they_are_presumed(store: Store, agent: AgentCard) -> None:
    study = spec(replicates=5, looks=[])
    (sight,) = estimate(study, DATA, pace_s=None).sights
    assert (sight.source, sight.hours_if_equal) == (Source.PRESUMED, None)
    begin(store, study)
    fill(store, study, agent)
    smaller = replace(DATA, val_labels=LABELS[:200], val_rows=DATA.val_rows[:200], val_patients=ROWS[:200])
    assert estimate(study, smaller, pace_s=None, past=store.tables("growing")).sights[0].source is Source.PRESUMED


def test_each_context_stands_apart_with_its_own_level_and_hours() -> None:
    tenth, whole = estimate(
        spec(replicates=20, looks=[5, 10, 15, 20], context={"data_fraction": [0.1, 1.0]}), DATA, pace_s=0.01
    ).sights
    assert (tenth.context, whole.context) == ({"data_fraction": 0.1}, {"data_fraction": 1.0})
    assert tenth.detectable < whole.detectable  # which begins with the reserve only
    assert tenth.hours_if_equal is not None
    assert whole.hours_if_equal is not None
    assert tenth.hours_if_equal / tenth.blocks_if_equal < whole.hours_if_equal / whole.blocks_if_equal
    assert 5 <= tenth.blocks_if_detectable <= 20


def test_too_few_blocks_to_test_see_nothing() -> None:
    assert estimate(spec(replicates=4, looks=[]), DATA, pace_s=None).sights == []
