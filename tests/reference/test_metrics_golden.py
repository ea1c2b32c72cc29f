"""Metrics against scikit-learn and against the published predictions of xresnet1d101 on PTB-XL's fold 9."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ablate.stats import metrics


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_records=st.integers(2, 300),
    decimals=st.sampled_from([0, 1, 2, 17]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_equal_to_scikit_learn(seed: int, n_records: int, decimals: int, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(seed)
    prevalence = np.array([1.5 / n_records, 0.05, 0.3, 0.95])
    labels = rng.random((n_records, prevalence.size)) < prevalence
    scores = np.round(rng.normal(size=labels.shape) + labels, decimals).astype(dtype)
    auroc, auprc = metrics.class_auroc(labels, scores), metrics.class_auprc(labels, scores)
    scored = metrics.both_outcomes(labels)
    assert np.array_equal(np.isnan(auroc), ~scored)
    for k in np.flatnonzero(scored):
        assert auroc[k] == pytest.approx(roc_auc_score(labels[:, k], scores[:, k]), abs=1e-12)
        assert auprc[k] == pytest.approx(average_precision_score(labels[:, k], scores[:, k]), abs=1e-12)


def test_golden_predictions() -> None:
    folder = Path(os.environ.get("ABLATE_TEST_REFERENCE") or Path(__file__).parents[3] / "shared" / "reference")
    file = folder / "xresnet1d101_fold9.npz"
    if not file.is_file():
        pytest.skip(f"{file} is absent: set ABLATE_TEST_REFERENCE to the folder that holds it")
    with np.load(file) as golden:
        labels, scores = golden["y"], golden["pred"]
    assert labels.shape == (2183, 71)
    assert metrics.macro_auroc(labels, scores) == pytest.approx(0.928128497651962, abs=1e-14)
    assert metrics.macro_auprc(labels, scores) == pytest.approx(0.37396954357986917, abs=1e-14)
