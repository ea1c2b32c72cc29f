"""A fingerprint is known before training, and differs where anything that decides a score differs."""

from dataclasses import replace

import pytest

from ablate.ecg.split import TaskData
from ablate.model.encoder import EncoderSpec
from ablate.train import provenance
from ablate.train.params import Params
from ablate.train.routine import Machine, fingerprint, post_train

PARAMS = Params(data_fraction=0.3, ft_epochs=1, batch_size=16)


def test_it_is_what_the_outcome_will_carry_with_the_test_fold_open_or_closed(
    spec: EncoderSpec, data: TaskData, open_data: TaskData
) -> None:
    known = fingerprint(spec, data, PARAMS, seed=4)
    outcome = post_train(spec, open_data, PARAMS, seed=4)
    assert outcome.fingerprint == known
    assert outcome.document()["fingerprint"] == known


@pytest.mark.parametrize("start", ["file", "random weights", "random start"])
def test_random_starts_have_one_too(spec: EncoderSpec, data: TaskData, start: str) -> None:
    encoder = EncoderSpec("net1d_small", "random") if start == "random weights" else spec
    params = replace(PARAMS, init="random") if start == "random start" else PARAMS
    assert post_train(encoder, data, params, seed=4).fingerprint == fingerprint(encoder, data, params, seed=4)


def test_whatever_decides_a_score_changes_it(
    spec: EncoderSpec, data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fingerprint(spec, data, PARAMS, seed=4)
    others = [
        fingerprint(spec, data, PARAMS, seed=5),
        fingerprint(spec, data, replace(PARAMS, ft_lr=2e-4), seed=4),
        fingerprint(spec, data, replace(PARAMS, init="random"), seed=4),
        fingerprint(EncoderSpec("net1d_small", "random"), data, PARAMS, seed=4),
        fingerprint(spec, replace(data, digest="other records"), PARAMS, seed=4),
        fingerprint(spec, data, PARAMS, seed=4, machine=Machine(precision="bf16")),
        fingerprint(spec, data, PARAMS, seed=4, machine=Machine(micro_batch=8)),
    ]
    for name, value in (
        ("CODE_DIGEST", "other code"),
        ("hardware", lambda _: "other"),
        ("environment", lambda: "other"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(provenance, name, value)
            others.append(fingerprint(spec, data, PARAMS, seed=4))
    assert len({whole, *others}) == 1 + len(others)
