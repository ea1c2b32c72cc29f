"""The routine as a library: what an outcome holds, and what bad luck looks like."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.ecg.split import TaskData
from ablate.errors import Diverged, OutOfMemory, SpecError
from ablate.model.encoder import EncoderSpec
from ablate.outcome import Outcome, Progress
from ablate.stats.metrics import both_outcomes, macro_auprc, macro_auroc
from ablate.train import trial
from ablate.train.machine import memory_errors
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Machine, post_train

BOTH = Params(data_fraction=0.4, probe_epochs=3, ft_epochs=2, drop_path_rate=0.3, batch_size=16, probe_lr=0.02)


@pytest.fixture(scope="module")
def outcome(
    spec: EncoderSpec, open_data: TaskData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, list[Progress]]:
    told = []
    cache = FeatureCache(tmp_path_factory.mktemp("features"))
    outcome = post_train(spec, open_data, BOTH, seed=3, report=told.append, features=cache)
    return outcome, told


def test_the_curves_are_those_that_were_reported(outcome: tuple[Outcome, list[Progress]]) -> None:
    outcome, told = outcome
    assert [(p.stage, p.epoch) for p in outcome.epochs] == [
        ("probe", 1),
        ("probe", 2),
        ("probe", 3),
        ("finetune", 1),
        ("finetune", 2),
    ]
    assert tuple(p for p in told if p.stage in ("probe", "finetune")) == outcome.epochs
    assert {p.stage for p in told} == {"features", "probe", "finetune", "test"}
    assert all(math.isfinite(p.train_loss) and p.seconds > 0 for p in outcome.epochs)
    assert outcome.epochs[2].train_loss < outcome.epochs[0].train_loss


def test_scores_are_those_of_the_probabilities(outcome: tuple[Outcome, list[Progress]], open_data: TaskData) -> None:
    outcome, _ = outcome
    for split in ("val", "test"):
        labels = getattr(open_data, f"{split}_labels")
        probabilities = getattr(outcome, f"{split}_probabilities")
        assert probabilities.dtype == np.float32
        assert probabilities.shape == labels.shape
        classes = both_outcomes(labels)
        assert outcome.scores[f"{split}_auroc"] == macro_auroc(labels, probabilities, classes=classes)
        assert outcome.scores[f"{split}_auprc"] == macro_auprc(labels, probabilities, classes=classes)
        by_class = outcome.class_scores[split]
        assert tuple(by_class) == open_data.classes
        known = [auroc for auroc, _ in by_class.values() if not math.isnan(auroc)]
        assert np.mean(known) == pytest.approx(outcome.scores[f"{split}_auroc"])


def test_the_best_epoch_is_the_one_with_the_best_score_and_the_last_stands_beside_it(
    outcome: tuple[Outcome, list[Progress]],
) -> None:
    outcome, _ = outcome
    finetune = outcome.epochs[3:]
    assert outcome.scores["val_auroc"] == max(p.val_auroc for p in finetune)
    assert finetune[outcome.best_epoch - 1].val_auroc == outcome.scores["val_auroc"]
    assert outcome.scores["val_auroc_last"] == finetune[-1].val_auroc
    assert outcome.scores["val_auprc_last"] == finetune[-1].val_auprc


def test_an_outcome_tells_where_it_came_from_and_what_it_took(
    outcome: tuple[Outcome, list[Progress]], open_data: TaskData
) -> None:
    outcome, _ = outcome
    assert outcome.digests["data"] == open_data.digest
    assert set(outcome.digests) == {"data", "encoder", "code", "environment"}
    assert set(outcome.seconds) == {"features", "probe", "finetune", "test"}
    assert outcome.peak_memory_bytes > 50e6
    assert 0.3 < outcome.n_train / len(open_data.train_rows) < 0.5
    document = outcome.document()
    assert document["scores"] == outcome.scores
    assert "val_probabilities" not in document


def test_without_the_test_fold_nothing_of_it_is_scored(spec: EncoderSpec, data: TaskData) -> None:
    outcome = post_train(spec, data, Params(data_fraction=0.3, ft_epochs=1), seed=1)
    assert outcome.test_probabilities is None
    assert set(outcome.scores) == {"val_auroc", "val_auprc", "val_auroc_last", "val_auprc_last"}


def test_a_share_of_the_validation_records_chooses_where_that_is_wanted(spec: EncoderSpec, data: TaskData) -> None:
    """The epoch is chosen by fewer records, and training itself is the same to the bit."""
    whole, part = (
        post_train(spec, data, Params(data_fraction=0.4, ft_epochs=2, val_fraction=share), seed=4)
        for share in ("all", "as data_fraction")
    )
    assert (whole.n_val, len(whole.val_probabilities)) == (len(data.val_rows), len(data.val_rows))
    assert 0.3 < part.n_val / whole.n_val < 0.5
    assert len(part.val_probabilities) == part.n_val
    assert [epoch.train_loss for epoch in part.epochs] == [epoch.train_loss for epoch in whole.epochs]
    assert part.fingerprint != whole.fingerprint


@pytest.mark.parametrize("choice", ["auroc", "auprc", "last"])
def test_the_chosen_epoch_follows_the_choice(spec: EncoderSpec, data: TaskData, choice: str, tmp_path: Path) -> None:
    params = Params(data_fraction=0.4, probe_epochs=12, ft_epochs=0, probe_lr=0.05, batch_size=8, epoch_choice=choice)
    outcome = post_train(spec, data, params, seed=2, features=FeatureCache(tmp_path))
    scores = [getattr(p, "val_auprc" if choice == "auprc" else "val_auroc") for p in outcome.epochs]
    assert outcome.best_epoch == (12 if choice == "last" else 1 + int(np.argmax(scores)))
    assert outcome.scores["val_auroc"] == outcome.epochs[outcome.best_epoch - 1].val_auroc
    assert outcome.scores["val_auroc_last"] == outcome.epochs[-1].val_auroc


def test_a_caller_keeps_threads_and_random_state(spec: EncoderSpec, data: TaskData) -> None:
    torch.manual_seed(5)
    before, n_threads = torch.get_rng_state(), torch.get_num_threads()
    post_train(spec, data, Params(data_fraction=0.3, ft_epochs=1, init="random"), seed=1, machine=Machine(n_threads=2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == n_threads


def test_a_rate_that_is_too_high_diverges_and_says_which(spec: EncoderSpec, data: TaskData) -> None:
    params = Params(data_fraction=0.4, ft_epochs=3, ft_lr=1.0, head_lr_ratio=1e4, grad_clip=0, batch_size=8)
    with pytest.raises(Diverged, match=r"finetune, epoch \d: the loss is .* with ft_lr = 1"):
        post_train(spec, data, params, seed=1)


def test_memory_that_is_short_is_told_in_one_way() -> None:
    machine = Machine(micro_batch=32)
    for take in (lambda: torch.empty(2**60), lambda: np.empty(2**58), lambda: bytearray(2**60)):
        with pytest.raises(OutOfMemory, match="micro_batch = 32"), memory_errors(machine):
            take()
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(machine):
        torch.ones(2, 3) @ torch.ones(2, 3)


@pytest.mark.parametrize(
    ("machine", "word"),
    [
        ({"device": "tpu"}, "expected cpu, cuda"),
        ({"device": "cuda:99"}, "torch sees"),
        ({"precision": "fp8"}, "fp32 or bf16"),
        ({"micro_batch": 0}, "from 1"),
    ],
)
def test_a_machine_that_is_not_there_is_one_line(
    spec: EncoderSpec, data: TaskData, machine: dict[str, Any], word: str
) -> None:
    with pytest.raises(SpecError, match=word):
        post_train(spec, data, BOTH, seed=1, machine=Machine(**machine))


def test_an_encoder_that_takes_other_records_is_refused(spec: EncoderSpec, data: TaskData) -> None:
    with pytest.raises(SpecError, match="n_leads"):
        post_train(EncoderSpec("ecgfounder_1lead", "random"), data, BOTH, seed=1)
    with pytest.raises(SpecError, match="fs_hz"):  # from weights; random ones have no rate of their own
        post_train(spec, replace(data, fs_hz=500), BOTH, seed=1)


def test_bf16_is_recorded_and_near_fp32(spec: EncoderSpec, data: TaskData) -> None:
    params = Params(data_fraction=0.4, ft_epochs=1, batch_size=16)
    single = post_train(spec, data, params, seed=1)
    half = post_train(spec, data, params, seed=1, machine=Machine(precision="bf16"))
    assert (single.precision, half.precision) == ("fp32", "bf16")
    gap = np.abs(single.val_probabilities - half.val_probabilities).max()
    assert 0 < gap < 0.02


def test_a_long_epoch_shows_signs_of_life_that_are_no_epochs(
    spec: EncoderSpec, data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "ALIVE_S", 0.0)
    told = []
    outcome = post_train(spec, data, Params(data_fraction=0.4, ft_epochs=2, batch_size=16), seed=1, report=told.append)
    assert tuple(p for p in told if p.train_loss is not None) == outcome.epochs
    signs = [(p.epoch, p.val_auroc) for p in told if p.train_loss is None]
    first = outcome.epochs[0].val_auroc
    assert signs[0] == (0, None)
    assert set(signs) == {(0, None), (1, first)}
