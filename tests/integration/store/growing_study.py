"""A study in a real store whose predictions have known effects, of which one takes many blocks to be seen."""

import io

import numpy as np
from small_study import result

from ablate.store.artifact import TEST_FOLD
from ablate.store.slot import AgentCard, Slot
from ablate.store.store import Store
from ablate.study.confirmation import Step, advance
from ablate.study.plan import plan
from ablate.study.spec import Spec

RNG = np.random.default_rng(0)
LABELS = RNG.random((300, 2)) < 0.4
HARD = RNG.normal(size=LABELS.shape)
# How strongly an arm's scores follow the labels: lp is clearly better than ft, sd by less than seven blocks can tell.
SKILL = {"ft": 1.2, "sd": 1.25, "lp": 2.0}
LOOKS = [5, 6, 7]


def spec(
    name: str = "growing", *, replicates: int = LOOKS[-1], context: dict | None = None, **inference: object
) -> Spec:
    return Spec.from_document(
        {
            "name": name,
            "question": "q",
            "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
            "encoder": {"name": "net1d_small"},
            "space": {"drop_path_rate": {"low": 0.0, "high": 0.5}},
            "arms": {"ft": {"drop_path_rate": 0.0}, "sd": {"drop_path_rate": 0.1}, "lp": {"drop_path_rate": 0.2}},
            "context": context or {},
            "budget": {"search_trials": 0, "replicates": replicates},
            "inference": {"looks": LOOKS, "futility": 0.0, **inference},
        }
    )


def labels_artifact(labels: np.ndarray = LABELS, *, external: bool = False) -> bytes:
    """As a worker sends it with the first confirmation."""
    rows = np.arange(len(labels))
    arrays = {"ecg_id": rows, "patient_id": rows, "labels": labels}
    others = {f"external_{name}": array[:9] for name, array in arrays.items()} if external else {}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **others, classes=np.array(["a", "b"]))
    return buffer.getvalue()


def begin(store: Store, study: Spec, *, labels: bytes | None = None) -> None:
    store.register(study.name, study.document(), study.digest(), plan(study), max_attempts=1)
    assert advance(store, study) is Step.SEALED
    store.put_study_artifact(study.name, TEST_FOLD, labels_artifact() if labels is None else labels)


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
            predicted = predictions(claim.slot)
            told = {"val_probabilities": predicted, "test_probabilities": predicted}
            store.finish(claim, result(0.8, scores=scores, **told))


def blocks(store: Store, name: str = "growing") -> dict[str, int]:
    """Planned for each arm."""
    slots = store.slots(name)
    return {arm: sum(slot.arm == arm for slot in slots) for arm in SKILL}
