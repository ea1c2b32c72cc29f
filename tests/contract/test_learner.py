"""One suite for every learner that a stage trains: the probe on kept features, and fine-tuning."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.split import load_task
from ablate.ecg.synthetic import Synthetic
from ablate.model.encoder import EncoderSpec
from ablate.train.params import Params
from ablate.train.routine import post_train
from ablate.train.stage import Learner

ENCODER = EncoderSpec("net1d_small", "random")
PARAMS = {
    "probe": {"probe_epochs": 3, "ft_epochs": 0},
    "finetune": {"probe_epochs": 0, "ft_epochs": 3, "drop_path_rate": 0.2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(Synthetic(n_records=200, seed=1), cache_dir=tmp_path_factory.mktemp("arrays"))


class _Caught(Exception):
    """Carries a learner out of the routine before it has trained."""


@pytest.fixture(params=list(PARAMS))
def learner(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A learner as the routine makes it."""

    def catch(learner: Learner, *_: Any) -> None:
        caught.append(learner)
        raise _Caught

    caught: list[Learner] = []
    monkeypatch.setattr("ablate.train.routine.train_stage", catch)
    params = Params.from_dict({"data_fraction": 0.5, "batch_size": 16, **PARAMS[request.param]})
    with pytest.raises(_Caught):
        post_train(ENCODER, load_task(open_cohort(folder), "superdiagnostic"), params, seed=3)
    assert caught[0].stage == request.param
    return caught[0]


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return copy.deepcopy(learner.model.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_epoch_changes_the_network_and_gives_a_finite_loss(learner: Learner) -> None:
    before = weights(learner)
    loss = learner.train(1)
    assert np.isfinite(loss) and loss > 0
    assert not same(before, weights(learner))


def test_predicting_changes_nothing_and_is_repeatable(learner: Learner) -> None:
    rows = np.arange(5)
    before = weights(learner)
    first, again = learner.predict(rows), learner.predict(rows)
    assert first.shape[0] == len(rows)
    assert np.array_equal(first, again)
    assert ((first >= 0) & (first <= 1)).all()
    assert same(before, weights(learner))


def test_an_epoch_from_a_saved_state_has_the_same_bits(learner: Learner) -> None:
    learner.train(1)
    saved, state = weights(learner), learner.state()  # a copy, which does not learn on
    first = (learner.train(2), weights(learner))
    learner.model.load_state_dict(saved)
    learner.restore(state)
    again = (learner.train(2), weights(learner))
    assert first[0] == again[0]
    assert same(first[1], again[1])


def test_it_has_as_many_epochs_as_the_params_say(learner: Learner) -> None:
    assert learner.n_epochs == 3
