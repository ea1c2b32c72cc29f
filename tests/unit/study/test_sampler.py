"""Samplers: named and checked when the file is read, and blind to everything but finished generations."""

import math
from typing import Any

import pytest

from ablate.domain import Domain
from ablate.store.slot import Past
from ablate.study.sampler import Sampler, ask, parse_sampler

SPACE = {
    "ft_lr": Domain(name="ft_lr", low=1e-4, high=1e-2, log=True),
    "probe_epochs": Domain(name="probe_epochs", low=5, high=40, integer=True),
}
GENERATION, STARTED = 4, 4


def past(index: int, params: dict[str, Any]) -> Past:
    return Past(params=params, scores={"val_auroc": 0.9 - 0.1 * math.log10(params["ft_lr"] / 1e-3) ** 2}, index=index)


def search(name: str, n_trials: int, *, seed: int = 7, **arguments: Any) -> list[Past]:
    """A search that asks anew for each of its trials, as agents do."""
    history: list[Past] = []
    while len(history) < n_trials:
        n_before = len(history)
        if n_before < STARTED:
            params = [{"ft_lr": 1e-4 * 3**place, "probe_epochs": 5 + 10 * place} for place in range(STARTED)]
        else:
            params = [
                ask(parse_sampler({"name": name, **arguments}), SPACE, history, select="val_auroc", n_before=n_before,
                    n_started=STARTED, place=place, seed=seed if parse_sampler(name).has_state else seed + n_before)
                for place in range(GENERATION)
            ]  # fmt: skip
        history += [past(n_before + place, proposed) for place, proposed in enumerate(params)]
    return history


@pytest.mark.parametrize("name", ["tpe", "gp", "qmc", "random", "nsgaii"])
def test_proposals_lie_in_the_space_differ_within_a_generation_and_repeat(name: str) -> None:
    found = search(name, 12)
    for each in found:
        assert all(each.params[key] in domain for key, domain in SPACE.items())
    assert len({str(each.params) for each in found}) == 12
    assert [each.params for each in search(name, 12)] == [each.params for each in found]


def test_a_sampler_with_a_state_goes_on_where_its_last_generation_ended() -> None:
    """A quasi-Monte Carlo sequence that began anew in each generation would repeat its first points."""
    rates = [each.params["ft_lr"] for each in search("qmc", 36, scramble=True)[STARTED:]]
    cells = [int(math.log(rate / 1e-4) / math.log(100) * 32) for rate in rates]
    assert len(set(cells)) == 32


def test_a_trial_that_failed_leaves_a_gap_that_changes_no_count() -> None:
    whole = search("qmc", 12)
    gap = [each for each in whole if each.index != 6]
    told: dict[str, Any] = {"select": "val_auroc", "n_before": 12, "n_started": STARTED, "place": 0, "seed": 7}
    assert ask(Sampler("qmc"), SPACE, gap, **told) == ask(Sampler("qmc"), SPACE, whole, **told)


@pytest.mark.parametrize(
    ("given", "document"),
    [
        ("tpe", "tpe"),
        ("TPESampler", "tpe"),
        ({"name": "gp"}, "gp"),
        ({"name": "tpe", "n_ei_candidates": 64}, {"name": "tpe", "n_ei_candidates": 64}),
        ("latin", "latin"),
        ("posterior", "posterior"),
    ],
)
def test_a_sampler_is_written_as_it_is_read(given: Any, document: Any) -> None:
    assert parse_sampler(given).document() == document
    assert parse_sampler(parse_sampler(given).document()) == parse_sampler(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("tpee", "no sampler 'tpee'; did you mean 'tpe'"),
        ({"name": "tpe", "n_ei_candidate": 3}, "tpe has no argument 'n_ei_candidate'; did you mean 'n_ei_candidates'"),
        ({"name": "tpe", "seed": 3}, "seed: comes from the study's own seed"),
        ({"name": "latin", "n": 3}, "n: latin takes no arguments"),
        ({"name": "qmc", "qmc_type": "sobel"}, "qmc cannot be made with"),
        ({"name": "grid"}, "grid cannot be made with .*search_space"),
        (3, "expected the name of a sampler"),
        ({"n_ei_candidates": 3}, "expected the name of a sampler"),
    ],
)
def test_a_wrong_sampler_is_one_line_with_what_was_meant(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse_sampler(given)
    assert "\n" not in str(caught.value)
