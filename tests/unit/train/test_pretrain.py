import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ablate import digest
from ablate.ecg.cohort import Cohort
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.errors import CheckpointError, Diverged, SpecError
from ablate.model.catalogue import WEIGHTS_DIR, EncoderSpec
from ablate.model.encoder import load_encoder
from ablate.pretrain import linear_probe, recipe
from ablate.pretrain.augmentation import Disturbance, draw_view
from ablate.pretrain.average_beat import average_beat, beat_targets, find_peaks
from ablate.pretrain.training import Contrastive, Schedule, Supervised, nt_xent, pretrain_contrastive

SOURCE = Synthetic(300, seed=3)
STILL = Disturbance(crop_s=5.0, gain_sd=0.0, noise_sd=0.0, lead_drop_rate=0.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return open_cohort(prepare(SOURCE, cache_dir=tmp_path_factory.mktemp("prepared")))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def quiet(epoch: int, n_epochs: int, loss: float) -> None:
    """Nobody listens."""


def schedule(**changes: float) -> Schedule:
    return Schedule(**{"n_epochs": 2, "batch_size": 32, "peak_lr": 2e-3, **changes})  # type: ignore[arg-type]


def beating(template: np.ndarray, peaks: list[int]) -> np.ndarray:
    record = np.zeros((12, 1000), np.float32)
    for peak in peaks:
        record[:, peak - 30 : peak + 50] += template
    return record


def test_peaks_are_found_within_a_few_samples() -> None:
    record = np.zeros((12, 1000), np.float32)
    peaks = [100, 180, 275, 400, 700, 950]
    record[:, peaks] = 1.0
    found = find_peaks(record, fs_hz=100)
    assert len(found) == len(peaks) and np.abs(found - peaks).max() <= 4


def test_the_average_beat_is_the_beat_and_an_odd_one_does_not_move_it() -> None:
    shape = np.zeros((12, 80), np.float32)
    shape[:, 28:33] = np.outer(np.arange(1, 13), [0.2, 0.7, 1.0, 0.4, 0.1])
    record = beating(shape, [100, 250, 400, 550, 700, 850])
    expected = average_beat(record, fs_hz=100)
    assert expected.shape == (8, 40) and expected.max() > 5
    record[:, 250:300] += 3
    assert np.allclose(average_beat(record, fs_hz=100), expected)


def test_a_flat_record_has_a_beat_of_zeros() -> None:
    assert not average_beat(np.zeros((12, 1000), np.float32), fs_hz=100).any()


def test_targets_have_unit_variance_and_no_correlation(cohort: Cohort) -> None:
    rows = np.arange(0, 160, 2)
    targets = beat_targets(cohort.signals, rows, fs_hz=100, n_parts=6)
    assert targets.shape == (80, 6) and targets.dtype == np.float32
    assert targets.std(axis=0) == pytest.approx(1, abs=0.15)
    assert np.abs(np.corrcoef(targets.T) - np.eye(6)).max() < 0.35


def test_without_disturbance_a_view_is_a_piece_of_the_record() -> None:
    x = torch.arange(2 * 3 * 1000.0).reshape(2, 3, 1000)
    view = draw_view(x, STILL, fs_hz=100, generator=torch.Generator().manual_seed(0))
    assert view.shape == (2, 3, 500)
    start = view[:, 0, 0].long() - torch.tensor([0, 3000])
    for record, first in enumerate(start.tolist()):
        assert torch.equal(view[record], x[record, :, first : first + 500])


def test_each_disturbance_does_what_it_says() -> None:
    x, draws = torch.ones(400, 12, 500), torch.Generator().manual_seed(0)
    silent = draw_view(x, Disturbance(lead_drop_rate=0.25, gain_sd=0, noise_sd=0), fs_hz=100, generator=draws)
    assert (silent == 0).all(2).float().mean().item() == pytest.approx(0.25, abs=0.03)
    louder = draw_view(x, Disturbance(lead_drop_rate=0, gain_sd=0.15, noise_sd=0), fs_hz=100, generator=draws)
    assert louder.std(2).max() < 1e-5 and louder[:, :, 0].std().item() == pytest.approx(0.15, abs=0.01)


def test_nt_xent_equals_its_formula() -> None:
    torch.manual_seed(0)
    z, temperature = torch.randn(6, 4), 0.3
    unit = [row / row.norm() for row in z]
    total = 0.0
    for i in range(6):
        weights = [math.exp(float(unit[i] @ unit[k]) / temperature) for k in range(6) if k != i]
        total -= math.log(math.exp(float(unit[i] @ unit[(i + 3) % 6]) / temperature) / sum(weights))
    assert nt_xent(z, temperature=temperature).item() == pytest.approx(total / 6, rel=1e-5)


def test_pretraining_is_deterministic_learns_and_leaves_the_global_generator_alone(cohort: Cohort) -> None:
    method, rows = Contrastive(schedule=schedule(n_epochs=3), n_beat_parts=8), np.arange(96)
    weights, losses = [], list[float]()
    for _ in range(2):
        state = torch.get_rng_state()
        encoder = pretrain_contrastive(
            "net1d_small", cohort.signals, rows, method, report=lambda epoch, n, loss: losses.append(loss)
        )
        assert torch.equal(state, torch.get_rng_state())
        weights.append(encoder.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert losses[:3] == losses[3:] and losses[2] < losses[0]


def test_a_loss_that_is_not_finite_stops_it(cohort: Cohort) -> None:
    broken = cohort.signals[:64].copy()
    broken[3] = np.nan
    method = Contrastive(schedule=schedule(n_epochs=1), beat_weight=0)
    with pytest.raises(Diverged, match="epoch 1"):
        pretrain_contrastive("net1d_small", broken, np.arange(64), method, report=quiet)


def test_weights_are_written_with_their_recipe(cohort: Cohort, tmp_path: Path) -> None:
    target = tmp_path / "own.safetensors"
    made = recipe.make_supervised("net1d_small", SOURCE, cohort, Supervised(schedule=schedule()), target, report=quiet)
    written = json.loads(made.recipe.read_text())
    assert made.recipe == tmp_path / "own.json"
    assert written["digest"] == made.digest == digest.of_file(target)
    assert written["method"]["name"] == "supervised" and written["method"]["schedule"]["n_epochs"] == 2
    assert written["data"]["n_records"] == 300 and "favourable by design" in written["data"]["labels"]
    assert len(written["losses"]) == 2
    loaded = load_encoder(EncoderSpec("net1d_small", str(target)))
    assert isinstance(loaded, nn.Module)
    recipe.note(target, "probe", [{"val_auroc": 0.5}])
    assert json.loads(made.recipe.read_text())["probe"] == [{"val_auroc": 0.5}]


def test_label_free_weights_see_the_training_folds_alone(cohort: Cohort, tmp_path: Path) -> None:
    method = Contrastive(schedule=schedule(n_epochs=1), beat_weight=0)
    made = recipe.make_contrastive("net1d_small", cohort, method, tmp_path / "one.safetensors", report=quiet)
    assert json.loads(made.recipe.read_text())["data"]["n_records"] == int((cohort.fold <= 8).sum())
    signals = cohort.signals.copy()
    signals[cohort.fold > 8] = 9
    other = recipe.make_contrastive(
        "net1d_small", _with_signals(cohort, signals), method, tmp_path / "other.safetensors", report=quiet
    )
    assert other.digest == made.digest


def _with_signals(cohort: Cohort, signals: np.ndarray) -> Cohort:
    return Cohort(**{**vars(cohort), "signals": signals})


def test_targets_and_recipes_that_cannot_be_are_named(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"weights\.pth.*safetensors"):
        recipe.make_contrastive("net1d_small", cohort, Contrastive(), tmp_path / "weights.pth", report=quiet)
    with pytest.raises(CheckpointError, match="no recipe"):
        recipe.note(tmp_path / "alone.safetensors", "probe", {})


class Told(nn.Module):
    """Features that hold the labels, so that a probe must find them."""

    n_features, fs_hz, n_leads, n_samples = 3, 100, 12, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :3, 0]


def test_the_linear_probe_finds_what_features_tell_and_nothing_in_noise(cohort: Cohort) -> None:
    data = load_task(cohort, "superdiagnostic")
    signals = np.random.default_rng(0).normal(size=data.signals.shape).astype(np.float16)
    told, noise = signals.copy(), signals
    told[data.train_rows, :3, 0] += 6 * data.train_labels[:, :3]
    told[data.val_rows, :3, 0] += 6 * data.val_labels[:, :3]
    scores = [
        next(
            linear_probe.measure(
                Told(), type(data)(**{**vars(data), "signals": each}), data_fraction=0.5, subset_seeds=[0]
            )
        )
        for each in (told, noise)
    ]
    assert scores[0].val_auroc > 0.8 > scores[1].val_auroc
    assert 80 < scores[0].n_train < 160


def test_an_encoder_is_compared_with_its_random_self_on_equal_subsets(cohort: Cohort) -> None:
    data = load_task(cohort, "superdiagnostic")
    rows = linear_probe.compare(EncoderSpec("net1d_small", "random"), data, data_fraction=0.5, subset_seeds=range(2))
    assert [row.weights for row in rows] == ["random"] and rows[0].n_subsets == 2
    assert 0 <= rows[0].val_auroc <= 1 and rows[0].val_auroc_sd >= 0
    with pytest.raises(SpecError, match="fs_hz = 100"):
        linear_probe.compare(EncoderSpec("ecgfounder", "random"), data, data_fraction=0.5, subset_seeds=[0])


@pytest.mark.parametrize("weights", ["embedded", "synthetic"])
def test_shipped_weights_are_small_and_fit_their_recipe(weights: str) -> None:
    file = WEIGHTS_DIR / f"net1d_small_{weights}.safetensors"
    written = json.loads(file.with_suffix(".json").read_text())
    assert file.stat().st_size < 2_000_000
    assert written["digest"] == digest.of_file(file)
    assert 100_000 <= written["n_parameters"] <= 300_000
    if weights == "embedded":
        assert "CC BY 4.0" in written["data"]["attribution"] and written["data"]["labels"] == "none"
