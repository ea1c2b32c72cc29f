"""Trained networks and the folders that they are written to, as the product itself makes them."""

from pathlib import Path
from typing import Any

import pytest
from exported_study import N_RECORDS, SEED, Train, manifest

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.seal import Permit
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.exported.folder import write_folder
from ablate.model.catalogue import EncoderSpec, source_of
from ablate.outcome import Outcome
from ablate.train.params import Params
from ablate.train.routine import post_train


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where predictions find and put prepared records."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(home))


@pytest.fixture(scope="session")
def train(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains a small network, with the test fold opened as a confirmation has it or closed, and writes its folder."""

    def train(
        params: Params, *, encoder: str = "net1d_small", window_s: float | None = None, is_open: bool = True,
        **view: Any,
    ) -> tuple[Outcome, Path]:  # fmt: skip
        source = Synthetic(n_records=N_RECORDS, seed=SEED)
        cohort = open_cohort(prepare(source, cache_dir=home / "prepared", **view))
        permit = Permit(study="s", slot="1") if is_open else None
        task = load_task(cohort, "superdiagnostic", permit=permit, window_s=window_s)
        outcome = post_train(EncoderSpec(encoder, "random"), task, params, seed=3, keep_weights=True)
        folder = tmp_path_factory.mktemp("exported") / "model"
        source_file = source_of(encoder)
        assert outcome.weights is not None
        made = manifest(outcome, params, cohort, encoder, task.n_window, task.classes)
        write_folder(folder, made, outcome.weights, "# card\n", code=source_file.file if source_file else None)
        return outcome, folder

    return train


@pytest.fixture(scope="session")
def tuned(train: Train) -> tuple[Outcome, Path]:
    """A fine-tuned network: its outcome and its folder."""
    return train(Params(probe_epochs=1, ft_epochs=2, batch_size=32))
