"""Domains: which values they hold, how a study file narrows them, and what is stored of them."""

import pytest

from ablate.domain import Domain

RATE = Domain(name="drop_path_rate", high=0.95)
EPOCHS = Domain(name="probe_epochs", high=1000, integer=True, unit="epochs", meaning="epochs of probing")
MODE = Domain(name="mode", choices=("sample", "batch", "fixed"))


def test_a_domain_is_written_as_a_range_as_choices_or_as_one_value() -> None:
    half = RATE.narrowed({"low": 0.1, "high": 0.5, "log": True})
    assert half == Domain(name="drop_path_rate", low=0.1, high=0.5, log=True)
    assert MODE.narrowed({"choices": ["sample", "batch"]}) == Domain(name="mode", choices=("sample", "batch"))
    assert MODE.narrowed("batch").point == "batch"
    assert EPOCHS.narrowed(5) == Domain(name="probe_epochs", low=5, high=5, integer=True)
    assert (EPOCHS.narrowed(5).unit, EPOCHS.narrowed(5).meaning) == ("epochs", "epochs of probing")


@pytest.mark.parametrize(
    "given",
    [{"low": 0.1}, {"choices": []}, {"low": "a", "high": 1}, {"low": 0.2, "high": 0.1}, True, {"low": 0.1, "high": 2}],
)
def test_a_malformed_or_impossible_domain_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"expected|must|above|outside"):
        RATE.narrowed(given)


@pytest.mark.parametrize("domain", [RATE.narrowed({"low": 0, "high": 0.5}), EPOCHS, MODE, MODE.narrowed("batch")])
def test_what_is_stored_is_read_back(domain: Domain) -> None:
    declared = {"drop_path_rate": RATE, "probe_epochs": EPOCHS, "mode": MODE}[domain.name]
    assert declared.narrowed(domain.document()) == domain


def test_the_stored_form_is_that_of_a_study_file() -> None:
    assert EPOCHS.narrowed({"low": 0, "high": 40}).document() == {"low": 0, "high": 40, "log": False, "int": True}
    assert MODE.narrowed("batch").document() == {"choices": ["batch"]}


def test_whole_numbers_stay_whole() -> None:
    assert 2.5 not in EPOCHS
    assert EPOCHS.narrowed(5.0).point == 5
    assert isinstance(EPOCHS.narrowed(5.0).point, int)
    assert [EPOCHS.narrowed({"low": 1, "high": 2}).at(share) for share in (0.0, 0.49, 0.5, 1.0)] == [1, 1, 2, 2]


def test_a_logarithmic_range_is_halved_in_its_logarithm() -> None:
    assert Domain(name="lr", low=1e-4, high=1e-2, log=True).at(0.5) == pytest.approx(1e-3)


def test_a_part_lies_within_the_whole() -> None:
    space = RATE.narrowed({"low": 0.0, "high": 0.5})
    assert RATE.narrowed({"low": 0.1, "high": 0.5}).is_within(space)
    assert not RATE.narrowed({"low": 0.1, "high": 0.6}).is_within(space)
    assert RATE.narrowed({"choices": [0.1, 0.3]}).is_within(space)
    few = EPOCHS.narrowed({"choices": [5, 10]})
    assert EPOCHS.narrowed(5).is_within(few)
    assert not EPOCHS.narrowed({"low": 5, "high": 10}).is_within(few)


def test_true_is_no_number_and_no_choice_of_one() -> None:
    assert True not in RATE
    assert True not in Domain(name="x", choices=(1, 2))
