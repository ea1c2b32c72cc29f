import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from ablate.errors import SpecError
from ablate.train.params import DOMAINS, Params


def test_defaults_are_the_baseline_of_plain_fine_tuning() -> None:
    params = Params()
    assert (params.drop_path_rate, params.probe_epochs, params.init) == (0.0, 0, "pretrained")
    assert (params.ft_epochs, params.ft_lr, params.batch_size, params.weight_decay) == (30, 5e-4, 256, 0.05)


def test_every_param_has_a_domain_that_holds_its_default() -> None:
    assert list(DOMAINS) == [field.name for field in fields(Params)]
    for name, domain in DOMAINS.items():
        assert domain.meaning
        assert getattr(Params(), name) in domain
        if not domain.choices:
            Params.from_dict({"probe_epochs": 1, "ft_epochs": 1} | {name: domain.low})


def test_a_dictionary_makes_the_same_params_back() -> None:
    params = Params(drop_path_rate=0.3, probe_epochs=5, epoch_choice="last")
    assert Params.from_dict(json.loads(json.dumps(params.document()))) == params


def test_whole_floats_count_as_whole_numbers() -> None:
    params = Params.from_dict({"ft_epochs": 5.0, "ft_lr": 1})
    assert isinstance(params.ft_epochs, int)
    assert isinstance(params.ft_lr, float)
    assert params == Params(ft_epochs=5, ft_lr=1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"drop_path_rate": 1.5}, ["drop_path_rate = 1.5", "0 to 0.95"]),
        ({"drop_path_rate": -0.1}, ["drop_path_rate = -0.1"]),
        ({"ft_lr": float("nan")}, ["ft_lr = nan"]),
        ({"ft_lr": float("inf")}, ["ft_lr = inf"]),
        ({"ft_lr": "fast"}, ["ft_lr = 'fast'", "a number"]),
        ({"ft_epochs": 2.5}, ["ft_epochs = 2.5", "whole number"]),
        ({"ft_epochs": True}, ["ft_epochs = True"]),
        ({"ft_epochs": None}, ["ft_epochs = None"]),
        ({"data_fraction": 0}, ["data_fraction = 0"]),
        ({"drop_path_mode": "often"}, ["drop_path_mode = 'often'", "sample, batch, fixed"]),
        ({"epoch_choice": 3}, ["epoch_choice = 3"]),
        ({"drop_path": 0.1}, ["params.drop_path", "did you mean drop_path_rate?"]),
        ({"zzz": 1}, ["params.zzz", "there are: data_fraction"]),
        ({"ft_epochs": 0}, ["probe_epochs and ft_epochs"]),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        Params.from_dict(given)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_params_come_without_torch() -> None:
    code = "import sys, ablate.train.params; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
