import io

import numpy as np
from sample_outcome import NAN, result

from ablate.outcome import Progress
from ablate.store.result import CLASS_COLUMNS, EPOCH_COLUMNS, artifacts_of, columns_of

EPOCHS = (
    Progress(stage="probe", epoch=1, n_epochs=2, val_auroc=0.5),
    Progress(stage="probe", epoch=2, n_epochs=2, seconds=1.0),
)


def test_tables_become_columns_and_the_rest_is_kept() -> None:
    class_scores = {"val": {"MI": (0.1, 0.2)}, "test": {"MI": (0.3, 0.4)}}
    columns = columns_of(result(0.5, epochs=EPOCHS, class_scores=class_scores, notes=("smaller",), micro_batch=8))
    assert tuple(columns["epochs"]) == EPOCH_COLUMNS
    assert columns["epochs"]["epoch"] == [1, 2]
    assert columns["epochs"]["val_auroc"] == [0.5, None]
    assert tuple(columns["class_scores"]) == CLASS_COLUMNS
    assert columns["class_scores"]["split"] == ["val", "test"]
    assert columns["class_scores"]["auprc"] == [0.2, 0.4]
    assert (columns["facts"]["notes"], columns["facts"]["micro_batch"], columns["facts"]["n_train"]) == (
        ["smaller"],
        8,
        100,
    )
    assert not set(columns) & set(columns["facts"])


def test_a_trial_without_epochs_has_all_columns() -> None:
    columns = columns_of(result(epochs=(), class_scores={}))
    assert all(columns["epochs"][name] == [] for name in EPOCH_COLUMNS)
    assert all(columns["class_scores"][name] == [] for name in CLASS_COLUMNS)


def test_weights_are_an_artifact_and_their_thresholds_a_fact_where_they_are_kept() -> None:
    kept = result(weights=b"w", thresholds={"MI": 0.5, "NORM": None})
    assert artifacts_of(kept)["weights.safetensors"] == b"w"
    assert columns_of(kept)["facts"]["thresholds"] == {"MI": 0.5, "NORM": None}
    plain = result()
    assert "weights.safetensors" not in artifacts_of(plain)
    assert not {"weights", "thresholds"} & set(columns_of(plain)["facts"])


def test_probabilities_are_kept_in_single_precision() -> None:
    kept = artifacts_of(result(val_probabilities=np.array([[1 / 3, NAN]]), test_probabilities=np.ones((2, 3))))
    assert list(kept) == ["val.npz", "test.npz"]
    array = np.load(io.BytesIO(kept["val.npz"]))["probabilities"]
    np.testing.assert_array_equal(array, np.array([[1 / 3, NAN]], dtype=np.float32))
