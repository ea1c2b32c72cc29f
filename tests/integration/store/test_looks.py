"""Blocks added look by look, in a real store: predictions with known effects, decided by the report's own function."""

import io

import numpy as np
import pytest
from small_study import result

from ablate.report.evidence import weigh
from ablate.store.artifact import TEST_FOLD
from ablate.store.slot import AgentCard, Slot
from ablate.store.store import Store
from ablate.study.confirmation import Step, advance
from ablate.study.looks import look_lines
from ablate.study.plan import plan
from ablate.study.spec import Spec

RNG = np.random.default_rng(0)
LABELS = RNG.random((300, 2)) < 0.4
HARD = RNG.normal(size=LABELS.shape)
# How strongly an arm's scores follow the labels: lp is clearly better than ft, sd by less than seven blocks can tell.
SKILL = {"ft": 1.2, "sd": 1.25, "lp": 2.0}
LOOKS = [5, 6, 7]


def spec(**inference: object) -> Spec:
    return Spec.from_document(
        {
            "name": "growing",
            "question": "q",
            "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
            "encoder": {"name": "net1d_small"},
            "space": {"drop_path_rate": {"low": 0.0, "high": 0.5}},
            "arms": {"ft": {"drop_path_rate": 0.0}, "sd": {"drop_path_rate": 0.1}, "lp": {"drop_path_rate": 0.2}},
            "budget": {"search_trials": 0, "replicates": LOOKS[-1]},
            "inference": {"looks": LOOKS, "futility": 0.0, **inference},
        }
    )


@pytest.fixture
def agent() -> AgentCard:
    return AgentCard(id="a", host="h", pid=1)


def begin(store: Store, study: Spec) -> None:
    store.register(study.name, study.document(), study.digest(), plan(study), max_attempts=1)
    assert advance(store, study) is Step.SEALED
    buffer = io.BytesIO()
    classes = np.array(["a", "b"])
    np.savez(buffer, ecg_id=np.arange(len(LABELS)), patient_id=np.arange(len(LABELS)), labels=LABELS, classes=classes)
    store.put_study_artifact(study.name, TEST_FOLD, buffer.getvalue())


def predictions(slot: Slot) -> np.ndarray:
    """Follow from the slot alone."""
    seed = np.random.default_rng([7, slot.index, 1 + list(SKILL).index(slot.arm)])
    noise = 0.5 * np.random.default_rng(slot.index).normal(size=LABELS.shape) + 0.3 * seed.normal(size=LABELS.shape)
    return (SKILL[slot.arm] * LABELS + HARD + noise).astype(np.float32)


def fill(store: Store, study: Spec, agent: AgentCard, *, failing: str | None = None) -> None:
    """Finish every slot that waits."""
    while (claim := store.claim(study.name, agent)) is not None:
        store.set_params(claim, {"drop_path_rate": 0.0})
        store.open_test(claim)
        if claim.slot.key == failing:
            store.fail(claim, "diverged", "loss is nan")
        else:
            scores = {"val_auroc": 0.8, "val_auprc": 0.5, "test_auroc": 0.8, "test_auprc": 0.5}
            store.finish(claim, result(0.8, scores=scores, test_probabilities=predictions(claim.slot)))


def blocks(store: Store) -> dict[str, int]:
    slots = store.slots("growing")
    return {arm: sum(slot.arm == arm for slot in slots) for arm in SKILL}


def test_only_what_is_undecided_gets_further_blocks(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    assert blocks(store) == dict.fromkeys(SKILL, 5)
    assert advance(store, study) is Step.NONE  # nothing before the look is complete
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW
    assert blocks(store) == {"ft": 6, "sd": 6, "lp": 5}
    assert look_lines(study, store.slots("growing")) == [
        "look at 5 blocks: sd - ft undecided, more blocks; lp - ft decided or without a prospect"
    ]
    early = {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}
    assert early["lp - ft"].verdict == "supported"
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW
    fill(store, study, agent)
    assert advance(store, study) is Step.NONE
    assert blocks(store) == {"ft": 7, "sd": 7, "lp": 5}
    late = {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}
    assert late["lp - ft"].interval == early["lp - ft"].interval
    assert (late["sd - ft"].n_blocks, late["sd - ft"].n_looks) == (7, 3)


def test_whoever_asks_twice_plans_nothing_twice(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    fill(store, study, agent)
    first, second = advance(store, study), advance(store, study)
    assert (first, second) == (Step.GREW, Step.NONE)
    assert blocks(store) == {"ft": 6, "sd": 6, "lp": 5}


def test_nobody_looks_while_blocks_are_cancelled(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    fill(store, study, agent, failing="confirm/lp/-/3")
    store.retry_failed(study.name)
    assert store.cancel(study.name) == 1
    assert advance(store, study) is Step.NONE  # or lp would be left at five blocks for ever
    assert blocks(store) == dict.fromkeys(SKILL, 5)
    store.retry_failed(study.name)
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW


def test_a_contrast_with_a_failed_block_waits_for_a_retry(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    fill(store, study, agent, failing="confirm/sd/-/3")
    assert advance(store, study) is Step.NONE
    assert store.retry_failed(study.name) == 1
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW
    assert blocks(store) == {"ft": 6, "sd": 6, "lp": 5}


def test_a_failed_replicate_counts_as_the_worst_where_declared(store: Store, agent: AgentCard) -> None:
    study = spec(failures="worst", looks=[5, 7])
    begin(store, study)
    fill(store, study, agent, failing="confirm/lp/-/3")
    assert advance(store, study) is Step.GREW  # with a run that learned nothing, lp is not above ft any more
    assert blocks(store)["lp"] == 7
    fill(store, study, agent)
    found = {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}
    assert min(found["lp - ft"].block_differences) < -0.2
