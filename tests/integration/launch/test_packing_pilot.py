"""A pilot with real trainers on the processor."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ablate.ecg.view import View
from ablate.errors import LaunchError
from ablate.launch.packing import measure, packing_of, request_for
from ablate.store.store import Store
from ablate.study.cohort import prepare_cohorts
from ablate.study.plan import plan
from ablate.study.spec import Spec

pytestmark = pytest.mark.whole_machine  # it counts its processes by their name


@pytest.fixture(scope="module")
def spec() -> Spec:
    return Spec.from_document(
        {
            "name": "packed",
            "question": "q",
            "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
            "encoder": {"name": "net1d_small"},
            "fixed": {"ft_epochs": 1, "batch_size": 16},
            "space": {"drop_path_rate": {"low": 0.0, "high": 0.5}},
            "arms": {"ft": {"drop_path_rate": 0.0}, "sd": {}},
            "budget": {"search_trials": 2, "replicates": 1},
        }
    )


@pytest.fixture(scope="module")
def cohorts(spec: Spec) -> dict[View, Path]:
    return prepare_cohorts(spec)


def pilots() -> list[Any]:
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == "ablate pilot"]


def test_levels_are_measured_kept_in_the_store_and_not_measured_again(
    spec: Spec, cohorts: dict[View, Path], store: Store
) -> None:
    store.register(spec.name, spec.document(), spec.digest(), plan(spec), max_attempts=1)
    found = packing_of(store, spec, cohorts, device="cpu", n_most=2, span_s=0.5)
    assert found.n_trainers in (1, 2)
    assert [level.n_trainers for level in found.levels] == [1, 2]
    assert all(level.steps_per_s > 0 and 0 < level.used_bytes < level.total_bytes for level in found.levels)
    assert packing_of(store, spec, cohorts, device="cpu", n_most=2, span_s=0.5) == found
    (kept,) = store.tables(spec.name).packings
    assert kept == store.packing(spec.name, "cpu") == found.document()
    again = packing_of(store, spec, cohorts, device="cpu", n_most=1, span_s=0.5, again=True)
    assert len(again.levels) == 1
    assert store.packing(spec.name, "cpu") == again.document()
    assert pilots() == []  # they are gone when their figures are there: real trainers need their memory


def test_a_trainer_that_cannot_train_says_why_in_one_line(
    spec: Spec, cohorts: dict[View, Path], tmp_path: Path
) -> None:
    request = request_for(spec, cohorts)
    encoder = replace(request.encoder, weights=str(tmp_path / "no.pth"))
    with pytest.raises(LaunchError, match=r"no\.pth") as caught:
        measure(replace(request, encoder=encoder), device="cpu", gpu="cpu", n_most=1)
    assert "\n" not in str(caught.value)


def test_a_machine_without_the_gpu_is_refused(spec: Spec, cohorts: dict[View, Path]) -> None:
    with pytest.raises(LaunchError, match="torch sees 0 CUDA devices"):
        measure(request_for(spec, cohorts), device="cuda:0", gpu="none", n_most=1)
