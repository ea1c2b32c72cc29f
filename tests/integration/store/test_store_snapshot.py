import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from small_study import confirm_slots, result, search_slots

from ablate.errors import StoreError
from ablate.store.slot import AgentCard
from ablate.store.store import Store

Register = Callable[..., str]


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_a_study_without_results_has_all_tables(store: Store, register: Register) -> None:
    name = register(*search_slots(2))
    tables = store.tables(name)
    assert (tables.name, tables.spec, tables.spec_digest, tables.seal) == (name, {"question": "why?"}, "digest", None)
    assert tables.slots.state.to_list() == ["waiting", "waiting"]
    assert tables.slots.data_fraction.to_list() == [0.1, 0.1]
    assert [json.loads(context) for context in tables.slots.context] == [{"data_fraction": 0.1}] * 2
    for frame in (tables.params, tables.scores, tables.epochs, tables.class_scores, tables.attempts, tables.test_reads):
        assert frame.empty
    assert tables.scores.index.name == "slot_id"
    assert tables.test is None


def test_what_was_told_is_read_back_to_the_last_bit(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(2), *confirm_slots(1))
    auroc = 0.1 + 0.2
    claim = store.claim(name, agent)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-5 / 3, "probe_epochs": 7})
    probabilities = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    store.finish(claim, result(auroc, val_probabilities=probabilities))
    tables = store.tables(name)
    slot_id = claim.slot.id
    assert tables.params.loc[slot_id].to_dict() == {"ft_lr": 1e-5 / 3, "probe_epochs": 7}
    scores = tables.scores.loc[slot_id]
    assert (scores.val_auroc, scores.best_epoch, scores.n_train, scores.device) == (auroc, 1, 100, "cpu")
    assert tables.epochs.to_dict("list") | {"train_loss": None} == {
        "slot_id": [slot_id] * 2,
        "stage": ["probe", "finetune"],
        "epoch": [1, 1],
        "val_auroc": [auroc - 0.2, auroc],
        "val_auprc": [0.1, 0.2],
        "train_loss": None,
        "seconds": [0.1, 1.5],
    }
    assert np.isnan(tables.epochs.train_loss[1])
    assert tables.seconds.to_dict("list") == {
        "slot_id": [slot_id] * 2,
        "stage": ["probe", "finetune"],
        "seconds": [0.1, 1.5],
    }
    assert tables.class_scores.auroc.to_list()[0] == 0.9
    assert np.isnan(tables.class_scores.auroc[1])
    assert tables.class_scores.auroc.dtype.kind == "f"
    assert tables.digests.loc[slot_id].to_dict() == {"data": "d", "encoder": "e", "code": "c", "environment": "v"}
    [attempt] = tables.attempts.to_dict("records")
    assert (attempt["agent"], attempt["host"], attempt["device"], attempt["outcome"]) == (
        agent.id,
        "host",
        "cuda:0",
        "done",
    )
    assert attempt["ended_at"] >= attempt["started_at"]
    np.testing.assert_array_equal(tables.probabilities(slot_id, split="val"), probabilities)
    with pytest.raises(StoreError, match="no probabilities on test"):
        tables.probabilities(slot_id)


def test_the_labels_of_the_test_fold_are_kept_once(store: Store, register: Register) -> None:
    name = register(*confirm_slots(1))
    fold = {
        "ecg_id": np.array([5, 7]),
        "patient_id": np.array([1, 2]),
        "labels": np.array([[True, False], [False, True]]),
        "classes": np.array(["MI", "NORM"]),
    }
    assert store.put_study_artifact(name, "test_fold.npz", npz(**fold)) is True
    assert store.put_study_artifact(name, "test_fold.npz", b"other") is False
    test = store.tables(name).test
    assert test is not None
    assert test.classes == ("MI", "NORM")
    np.testing.assert_array_equal(test.labels, fold["labels"])
    np.testing.assert_array_equal(test.ecg_id, fold["ecg_id"])


def test_one_moment_only(store: Store, register: Register, agent: AgentCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that is finished while the tables are read appears in all of them or in none."""
    from ablate.store import snapshot

    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    slot_frame = snapshot._slot_frame

    def finish_meanwhile(slots: object) -> object:
        store.finish(claim, result())
        return slot_frame(slots)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot, "_slot_frame", finish_meanwhile)
    tables = store.tables(name)
    assert tables.slots.state.to_list() == ["leased"]
    assert tables.attempts.outcome.isna().all()
    monkeypatch.undo()
    assert store.tables(name).slots.state.to_list() == ["done"]
