"""The search space: what a study file may name, and what an arm's fixed values switch off."""

import pytest

from ablate.study.space import POST_TRAINING, parse_domain


def test_an_unknown_parameter_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="no hyper-parameter; did you mean 'ft_lr'"):
        parse_domain("ft_rl", 1e-3)


def test_what_a_fixed_value_switches_off_is_not_searched() -> None:
    space = {
        name: parse_domain(name, domain)
        for name, domain in {
            "probe_epochs": {"low": 0, "high": 10},
            "probe_lr": {"low": 1e-3, "high": 1e-2},
            "drop_path_mode": {"choices": ["sample", "batch"]},
            "drop_path_rate": {"low": 0.0, "high": 0.5},
        }.items()
    }
    off = {"probe_epochs": parse_domain("probe_epochs", 0), "drop_path_rate": parse_domain("drop_path_rate", 0.0)}
    assert set(POST_TRAINING.restrict(space, off)) == {"probe_epochs", "drop_path_rate"}
    assert set(POST_TRAINING.restrict(space, {})) == set(space)
