"""Do verdicts keep their promises? A few whole studies by predictions, and many by their moments."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

N_STUDIES = 120


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


def test_the_simulated_folds_are_as_stated(calibration: ModuleType) -> None:
    for setting in calibration.SETTINGS:
        fold = calibration.Fold(setting)
        labels = fold.labels(np.random.default_rng(0))
        assert labels.shape[0] == setting.n_records
        assert labels.sum(axis=0).tolist() == fold.n_positive.tolist()
        assert set(np.bincount(fold.patients)) <= {setting.records_per_patient, setting.n_records % 4 or 4, 2}


@pytest.mark.slow
def test_equal_arms_are_rarely_told_apart(calibration: ModuleType) -> None:
    """At most 5 % of the studies may claim anything; 14 or more of 120 would come with probability .003."""
    setting = calibration.SETTINGS[0]
    rows = [calibration.fixed_study(setting, index) for index in range(N_STUDIES)]
    for truth in ("none", "gate"):
        assert sum(row[truth]["false both"] for row in rows) <= 13
    covered = [value for row in rows for key, value in row.get("small", {}).items() if key.startswith("covered")]
    assert np.mean(covered) >= 0.93


@pytest.mark.slow
def test_looks_keep_the_level_and_never_find_less_than_the_first(calibration: ModuleType) -> None:
    nothing, something = calibration.GROWING[1], calibration.GROWING[0]
    rows = [calibration.growing_study(nothing, index) for index in range(N_STUDIES)]
    assert sum(row["looks"]["false"] for row in rows) <= 13
    rows = [calibration.growing_study(something, index) for index in range(40)]
    found = {design: np.mean([row[design]["found 0"] for row in rows]) for design in ("fixed 5", "looks")}
    assert found["looks"] > found["fixed 5"]
    assert np.mean([row["looks"]["blocks"] for row in rows]) < 20
