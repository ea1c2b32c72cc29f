"""What must be equal to the last bit, and what only within rounding."""

import hashlib
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
from torch.nn.modules.linear import Linear
from torch.nn.parameter import Parameter

from ablate import seeds
from ablate.ecg.cohort import Cohort
from ablate.ecg.split import TaskData, fraction
from ablate.model.catalogue import EncoderSpec
from ablate.model.encoder import load_encoder
from ablate.model.net1d import Net1D
from ablate.outcome import Outcome
from ablate.stats.metrics import both_outcomes, macro_auroc
from ablate.train import feature_bank
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Machine, post_train

BASELINE = Params(data_fraction=0.4, ft_epochs=2, batch_size=16, dropout=0.1, warmup_fraction=0.2, weight_decay=0.05)
PROBE = Params(data_fraction=0.4, probe_epochs=4, ft_epochs=0, batch_size=16, probe_lr=0.02)


def bits(outcome: Outcome) -> tuple[Any, ...]:
    """All that must not change."""
    curve = [(p.stage, p.epoch, p.val_auroc, p.val_auprc, p.train_loss) for p in outcome.epochs]
    test = outcome.test_probabilities
    return curve, outcome.val_probabilities.tobytes(), None if test is None else test.tobytes(), dict(outcome.scores)


def plain_fine_tuning(spec: EncoderSpec, data: TaskData, params: Params, seed: int) -> list[tuple[float, np.ndarray]]:
    """The baseline as anybody would write it; probabilities and AUROC of each epoch."""
    rows_of = fraction(data, data_fraction=params.data_fraction, seed=seeds.derive(seed, "subset"))
    x = torch.from_numpy(np.asarray(data.signals[data.train_rows[rows_of]])).float()
    y = torch.from_numpy(data.train_labels[rows_of]).float()
    x_val = torch.from_numpy(np.asarray(data.signals[data.val_rows])).float()
    encoder = load_encoder(spec)
    head = torch.nn.Linear(encoder.n_features, len(data.classes))
    generator = torch.Generator().manual_seed(seeds.derive(seed, "head"))
    bound = 1 / math.sqrt(encoder.n_features)
    for parameter in head.parameters():
        parameter.data = torch.rand(parameter.shape, generator=generator) * 2 * bound - bound
    trained = [p for p in [*encoder.parameters(), *head.parameters()] if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=params.ft_lr, fused=True)
    n_batches = math.ceil(len(x) / params.batch_size)
    n_steps = params.ft_epochs * n_batches
    n_warmup = round(params.warmup_fraction * n_steps)
    found, step = [], 0
    for epoch in range(1, params.ft_epochs + 1):
        encoder.train()
        torch.manual_seed(seeds.derive(seed, "dropout", epoch))
        order = np.random.default_rng(seeds.derive(seed, "order", "finetune", epoch)).permutation(len(x))
        for start in range(0, len(x), params.batch_size):
            at = order[start : start + params.batch_size]
            cosine = (1 + math.cos(math.pi * (step - n_warmup) / (n_steps - n_warmup - 1))) / 2
            falling = params.min_lr_ratio + (1 - params.min_lr_ratio) * cosine
            rate = (step + 1) / n_warmup if step < n_warmup else falling
            for group in optimizer.param_groups:
                group["lr"] = params.ft_lr * rate
            optimizer.zero_grad()
            logits = head(F.dropout(encoder(x[at]), params.dropout))
            F.binary_cross_entropy_with_logits(logits, y[at]).backward()
            torch.nn.utils.clip_grad_norm_(order_of(encoder, head), params.grad_clip)
            optimizer.step()
            step += 1
        encoder.eval()
        with torch.no_grad():
            probabilities = torch.cat([head(encoder(piece)) for piece in x_val.split(64)]).sigmoid().numpy()
        classes = both_outcomes(data.val_labels)
        found.append((macro_auroc(data.val_labels, probabilities, classes=classes), probabilities))
    return found


def order_of(encoder: Net1D, head: Linear) -> list[Parameter]:
    """Parameters in the order of the groups, since the norm of all gradients is a sum."""
    stages = [*encoder.stages(), list(head.parameters())]
    return [p for stage in stages for wanted in (True, False) for p in stage if (p.ndim > 1) == wanted]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def test_the_baseline_is_plain_fine_tuning_to_the_last_bit(spec: EncoderSpec, data: TaskData) -> None:
    found = post_train(spec, data, BASELINE, seed=5)
    plain = plain_fine_tuning(spec, data, BASELINE, 5)
    assert [p.val_auroc for p in found.epochs] == [auroc for auroc, _ in plain]
    assert np.array_equal(found.val_probabilities, plain[found.best_epoch - 1][1])


@pytest.mark.parametrize(
    "switched_off",
    [
        {"drop_path_rate": 0.0, "drop_path_mode": "fixed", "drop_path_schedule": "constant"},
        {"probe_epochs": 0, "probe_lr": 0.05, "probe_weight_decay": 0.0},
    ],
)
def test_a_component_that_is_off_leaves_the_baseline_to_the_last_bit(
    spec: EncoderSpec, data: TaskData, tmp_path: Path, switched_off: dict[str, Any]
) -> None:
    plain = post_train(spec, data, BASELINE, seed=5)
    off = post_train(spec, data, replace(BASELINE, **switched_off), seed=5, features=FeatureCache(tmp_path))
    assert bits(off) == bits(plain)


@pytest.mark.parametrize(
    "switched_on", [{"drop_path_rate": 0.4}, {"probe_epochs": 1, "probe_lr": 1e-7}, {"dropout": 0.4}]
)
def test_every_arm_starts_from_the_same_subset_and_head(
    spec: EncoderSpec, data: TaskData, tmp_path: Path, switched_on: dict[str, Any]
) -> None:
    still = replace(BASELINE, dropout=0.0, ft_lr=1e-7, warmup_fraction=0.0, ft_epochs=1)  # learns nothing to speak of
    start = post_train(spec, data, still, seed=5).val_probabilities
    params = replace(still, **switched_on)
    found = post_train(spec, data, params, seed=5, features=FeatureCache(tmp_path)).val_probabilities
    assert np.abs(found - start).max() < 1e-4
    other = post_train(spec, data, still, seed=6).val_probabilities
    assert np.abs(other - start).max() > 1e-3


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_drop_path_changes_what_is_learned(spec: EncoderSpec, data: TaskData, mode: str) -> None:
    plain = post_train(spec, data, BASELINE, seed=5)
    dropped = post_train(spec, data, replace(BASELINE, drop_path_rate=0.4, drop_path_mode=mode), seed=5)
    assert bits(dropped) != bits(plain)


def test_equal_seeds_give_equal_bits_and_others_do_not(spec: EncoderSpec, data: TaskData) -> None:
    params = replace(BASELINE, drop_path_rate=0.3, init="random", ft_epochs=1)
    first, again, other = (post_train(spec, data, params, seed=seed) for seed in (5, 5, 6))
    assert bits(first) == bits(again) != bits(other)


ELSEWHERE = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_exactness import *
from ablate.ecg.preparation import open_cohort
from ablate.ecg.split import load_task
from ablate.model.encoder import EncoderSpec
data = load_task(open_cohort(Path({folder!r})), "superdiagnostic")
outcome = post_train(EncoderSpec("net1d_small", {weights!r}), data, Params.from_dict({params!r}), seed=5)
print(hashlib.sha256(repr(bits(outcome)).encode()).hexdigest())
"""


def test_another_process_gives_the_same_bits(spec: EncoderSpec, data: TaskData, cohort: Cohort) -> None:
    params = replace(BASELINE, drop_path_rate=0.3, probe_epochs=2, ft_epochs=1)
    here = hashlib.sha256(repr(bits(post_train(spec, data, params, seed=5))).encode()).hexdigest()
    code = ELSEWHERE.format(
        tests=str(__file__).rpartition("/")[0],
        folder=str(cohort.folder),
        weights=spec.weights,
        params=params.document(),
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize("params", [PROBE, replace(PROBE, ft_epochs=1, drop_path_rate=0.2)])
def test_a_probe_on_kept_features_is_the_probe_through_the_encoder_to_the_last_bit(
    spec: EncoderSpec, open_data: TaskData, tmp_path: Path, params: Params
) -> None:
    through = post_train(spec, open_data, params, seed=2, features=None)
    cache = FeatureCache(tmp_path)
    built = post_train(spec, open_data, params, seed=2, features=cache)
    mapped = post_train(spec, open_data, params, seed=2, features=cache)
    assert bits(built) == bits(mapped) == bits(through)
    assert (built.notes, mapped.notes) == ((), ())
    assert len(list(tmp_path.glob("*/features.npy"))) == 1


def test_fractions_and_seeds_share_one_extraction(
    spec: EncoderSpec, data: TaskData, open_data: TaskData, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
    for taken, part, seed in ((data, 0.3, 1), (data, 1.0, 2), (open_data, 0.6, 3)):
        told = []
        post_train(spec, taken, replace(PROBE, data_fraction=part), seed=seed, features=cache, report=told.append)
        assert any(p.stage == "features" for p in told) == (seed == 1)
    assert len(list(tmp_path.glob("*/features.npy"))) == 1


def test_features_in_parts_are_the_same_bits_and_a_lost_part_is_made_alone(
    spec: EncoderSpec, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_bank, "PART", 64)
    through = post_train(spec, data, PROBE, seed=2)
    cache, told = FeatureCache(tmp_path), []
    assert bits(post_train(spec, data, PROBE, seed=2, features=cache)) == bits(through)
    parts = sorted(tmp_path.glob("*/features.npy"))
    assert len(parts) == -(-(1 + max(data.train_rows.max(), data.val_rows.max())) // 64) > 2
    shutil.rmtree(parts[0].parent)
    made_at = {file: file.stat().st_mtime_ns for file in parts[1:]}
    assert bits(post_train(spec, data, PROBE, seed=2, features=cache, report=told.append)) == bits(through)
    assert {file: file.stat().st_mtime_ns for file in parts[1:]} == made_at
    assert parts[0].exists()
    assert any(progress.stage == "features" for progress in told)


def test_random_encoders_are_not_kept_on_disk_and_probe_the_same(
    spec: EncoderSpec, data: TaskData, tmp_path: Path
) -> None:
    params = replace(PROBE, init="random")
    kept = post_train(spec, data, params, seed=2, features=FeatureCache(tmp_path))
    assert bits(kept) == bits(post_train(spec, data, params, seed=2))
    assert list(tmp_path.glob("*/features.npy")) == []


def test_a_cache_folder_that_cannot_be_used_is_a_note_and_the_same_bits(
    spec: EncoderSpec, data: TaskData, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    outcome = post_train(spec, data, PROBE, seed=2, features=FeatureCache(tmp_path / "file" / "cache"))
    assert "in memory, for this trial only" in outcome.notes[0]
    assert bits(outcome) == bits(post_train(spec, data, PROBE, seed=2))


@pytest.mark.parametrize("micro_batch", [1, 5, 16])
def test_a_micro_batch_is_the_same_batch_within_rounding(spec: EncoderSpec, data: TaskData, micro_batch: int) -> None:
    params = replace(BASELINE, dropout=0.0, drop_path_rate=0.4, ft_epochs=1)
    whole = post_train(spec, data, params, seed=5)
    pieces = post_train(spec, data, params, seed=5, machine=Machine(micro_batch=micro_batch))
    assert np.abs(whole.val_probabilities - pieces.val_probabilities).max() < 1e-4
    assert whole.epochs[0].train_loss == pytest.approx(pieces.epochs[0].train_loss, abs=1e-5)


def test_each_encoder_has_features_of_its_own(
    spec: EncoderSpec, data: TaskData, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("features")
    file = tmp_path_factory.mktemp("weights") / "other.safetensors"
    other = load_encoder(replace(spec, weights="random"), seed=8)
    safetensors.torch.save_file(other.state_dict(), file)
    for one in (spec, replace(spec, weights=str(file)), spec):
        kept = post_train(one, data, replace(PROBE, probe_epochs=1), seed=2, features=FeatureCache(folder))
        assert bits(kept) == bits(post_train(one, data, replace(PROBE, probe_epochs=1), seed=2))
    assert len(list(folder.glob("*/features.npy"))) == 2


def test_fine_tuning_starts_from_the_head_of_the_last_probe_epoch(
    spec: EncoderSpec, data: TaskData, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
    probed = post_train(spec, data, replace(PROBE, epoch_choice="last"), seed=2, features=cache)
    still = replace(PROBE, ft_epochs=1, ft_lr=1e-7, dropout=0.0)
    tuned = post_train(spec, data, still, seed=2, features=cache)
    assert np.abs(tuned.val_probabilities - probed.val_probabilities).max() < 1e-4
    assert probed.epochs[0].val_auroc != probed.epochs[-1].val_auroc
