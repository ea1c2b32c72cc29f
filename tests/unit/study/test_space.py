"""Domains, and what an arm's fixed values switch off."""

import pytest

from ablate.study.space import Choices, Interval, is_within, parse_domain, point, restrict


def test_a_domain_is_written_as_a_range_as_choices_or_as_one_value() -> None:
    assert parse_domain("ft_lr", {"low": 1e-4, "high": 1e-3, "log": True}) == Interval(1e-4, 1e-3, log=True)
    assert parse_domain("probe_epochs", 5) == Interval(5, 5, integer=True)
    assert parse_domain("drop_path_mode", {"choices": ["sample", "batch"]}) == Choices(("sample", "batch"))


@pytest.mark.parametrize(
    "given", [{"low": 0.1}, {"choices": []}, {"low": "a", "high": 1}, {"low": 0.2, "high": 0.1}, True]
)
def test_a_malformed_domain_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"expected|must|above|outside"):
        parse_domain("drop_path_rate", given)


def test_whole_numbers_stay_whole() -> None:
    assert 2.5 not in parse_domain("probe_epochs", {"low": 0, "high": 10})
    assert point(parse_domain("probe_epochs", 5.0)) == 5
    assert isinstance(point(parse_domain("probe_epochs", 5.0)), int)


def test_an_arm_lies_within_the_space() -> None:
    space = Interval(0.0, 0.5)
    assert is_within(Interval(0.1, 0.5), space)
    assert not is_within(Interval(0.1, 0.6), space)
    assert not is_within(Choices((0.1,)), space)


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
    assert set(restrict(space, off)) == {"probe_epochs", "drop_path_rate"}
    assert set(restrict(space, {})) == set(space)
