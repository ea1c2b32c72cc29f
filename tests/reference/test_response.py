"""The tables of real trials and what is replayed on them."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path("benchmarks").absolute()))
import replay
import response
import surface

from ablate.study.sampler import Sampler

TABLES = ("ptbxl_10", "synthetic_10")


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_its_own_params_within_its_ranges_and_no_trial_twice(table: str) -> None:
    (about,) = (each for each in response.TABLES if each.name == table)
    rows = surface.rows(table)
    assert len({(row["arm"], row["point"], row["seed"]) for row in rows}) == len(rows)
    for row in rows:
        for name, value in about.params(row["arm"], row["point"]).items():
            assert row[name] == pytest.approx(value, rel=1e-4)
            assert row[name] in surface.domains(table, row["arm"])[name]
        if row["outcome"] == "done":
            assert len(row["auroc_by_epoch"]) == row["ft_epochs"]
            assert max(row["auroc_by_epoch"]) == pytest.approx(row["val_auroc"], abs=1e-4)


def test_no_trial_is_planned_twice_and_every_arm_gets_as_many() -> None:
    planned = list(response.order(32))
    assert len(set(planned)) == len(planned)
    for table in response.TABLES:
        counts = {sum(each[:2] == (table, arm) for each in planned) for arm in response.ARMS}
        assert len(counts) == 1
        assert counts != {0}


@pytest.mark.parametrize("table", TABLES)
def test_draws_of_the_response_agree_with_the_trials_and_differ_between_them(table: str) -> None:
    of = surface.response(table)
    good = [row for row in of.rows if row.get("val_auroc", 0) > of.bend.best - 0.02 and row["arm"] == "lp_sd"]
    truths = [surface.Truth(of, "lp_sd", seed=seed) for seed in range(12)]
    at_trials = np.array([truth.bent(good) for truth in truths])
    measured = of.bend.bent(np.array([row["val_auroc"] for row in good]))
    noise = math.hypot(of.trial_sd, of.seed_sd)
    assert np.abs(at_trials.mean(axis=0) - measured).max() < 4 * noise + 0.002
    elsewhere = [truths[0].params(row) for row in np.random.default_rng(0).random((32, 5)).tolist()]
    assert np.std([truth.bent(elsewhere) for truth in truths], axis=0).mean() > at_trials.std(axis=0).mean()


def test_a_replayed_search_is_the_same_again_and_more_trials_find_more() -> None:
    truth = surface.Truth(surface.response("synthetic_10"), "ft", seed=1)
    found: dict[int, list[Any]] = {}
    for n_trials in (8, 32):
        found[n_trials] = replay.search(truth, Sampler("posterior"), n_trials=n_trials, generation=4, seed=3)
        assert len(found[n_trials]) == n_trials
    assert found[8] == found[32][:8]
    regret = {n: truth.regret(replay.smoothed(truth, trials)) for n, trials in found.items()}
    assert 0 <= regret[32] <= regret[8]
