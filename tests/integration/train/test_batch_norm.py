"""Encoders with BatchNorm in the routine: kept features, continued trials and scores leave statistics right."""

from pathlib import Path
from typing import cast

import pytest
from test_exactness import bits
from test_interruption import Countdown
from torch import nn

from ablate.ecg.split import TaskData
from ablate.model.catalogue import EncoderSpec
from ablate.model.checkpoint import write_weights
from ablate.model.encoder import load_encoder
from ablate.train.params import Params
from ablate.train.routine import FeatureCache, Stopped, post_train

PARAMS = Params(data_fraction=0.2, probe_epochs=1, ft_epochs=2, drop_path_rate=0.3, batch_size=16)
NAME = "resnet1d_wang"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    file: Path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    write_weights(cast(nn.Module, load_encoder(EncoderSpec(NAME, "random"), seed=7)), file, about="a test")
    return EncoderSpec(NAME, str(file))


@pytest.mark.slow
def test_kept_features_and_a_continued_trial_give_the_same_bits(
    weights: EncoderSpec, data: TaskData, tmp_path: Path
) -> None:
    undisturbed = post_train(weights, data, PARAMS, seed=4)
    features, checkpoint = FeatureCache(tmp_path / "features"), tmp_path / "trial"
    with pytest.raises(Stopped):
        post_train(weights, data, PARAMS, seed=4, features=features, checkpoint=checkpoint, stop=Countdown(9))
    resumed = post_train(weights, data, PARAMS, seed=4, features=features, checkpoint=checkpoint)
    assert bits(resumed) == bits(undisturbed)
    assert resumed.notes == ()
