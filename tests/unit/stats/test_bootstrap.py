import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ablate.errors import DataError, SpecError
from ablate.stats.bootstrap import crossed_bootstrap
from ablate.stats.weighted_score import rank

PATIENTS = np.array([7, 7, 3, 3, 3, 9, 1, 1, 4, 5, 6, 8])


def small_case() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    labels = rng.random((12, 3)) < 0.5
    labels[0], labels[11] = True, False
    return labels, {arm: np.round(rng.normal(size=(4, 12, 3)) + labels, 1) for arm in ("a", "b")}


def test_equal_to_brute_force() -> None:
    """Each draw again with scikit-learn, one class, block and arm at a time, on the same weights."""
    labels, arms = small_case()
    draws = crossed_bootstrap(
        {arm: [rank(labels, block) for block in blocks] for arm, blocks in arms.items()}, PATIENTS, n_draws=6, seed=5
    )
    rng = np.random.default_rng(5)
    patient_weights = rng.standard_exponential((6, 8))
    block_weights = rng.standard_exponential((6, 4))
    weight_of = {patient: patient_weights[:, i] for i, patient in enumerate(sorted(set(PATIENTS.tolist())))}
    for metric, score in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        found = draws.mean(draws.differences(metric, {"b": 1.0, "a": -1.0}))
        for draw in range(6):
            weights = [weight_of[int(patient)][draw] for patient in PATIENTS]
            blocks = [
                np.mean(
                    [
                        score(labels[:, k], arms["b"][block, :, k], sample_weight=weights)
                        - score(labels[:, k], arms["a"][block, :, k], sample_weight=weights)
                        for k in range(3)
                    ]
                )
                for block in range(4)
            ]
            assert found[draw] == pytest.approx(np.average(blocks, weights=block_weights[draw]), abs=1e-12)


def test_same_seed_same_draws() -> None:
    labels, arms = small_case()
    ranked = {"a": [rank(labels, block) for block in arms["a"]]}
    first, again, other = (crossed_bootstrap(ranked, PATIENTS, n_draws=3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.scores["auroc"]["a"], again.scores["auroc"]["a"])
    assert not np.array_equal(first.scores["auroc"]["a"], other.scores["auroc"]["a"])


def test_bad_input_is_said() -> None:
    labels, arms = small_case()
    ranked = [rank(labels, block) for block in arms["a"]]
    with pytest.raises(SpecError, match="one number"):
        crossed_bootstrap({"a": ranked, "b": ranked[:2]}, PATIENTS)
    with pytest.raises(SpecError, match="at least 1"):
        crossed_bootstrap({"a": []}, PATIENTS)
    with pytest.raises(DataError, match="arm a"):
        crossed_bootstrap({"a": ranked}, PATIENTS[:5])
