from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_table import make_task, random_task

from ablate.ecg.split import fraction, lost_classes, with_val_part
from ablate.errors import DataError

LEVELS = (0.01, 0.05, 0.1, 0.3, 1.0)


def test_smaller_fractions_are_subsets_of_larger_ones() -> None:
    data = random_task()
    parts = [set(fraction(data, data_fraction=level, seed=5).tolist()) for level in LEVELS]
    assert all(small < large for small, large in pairwise(parts))


@given(st.floats(0.003, 1), st.floats(0.003, 1), st.integers(0, 2**62))
@settings(max_examples=40, deadline=None)
def test_any_two_fractions_nest_and_patients_stay_whole(one: float, other: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = make_task(random.random((700, 9)) < 0.2, np.sort(random.integers(0, 500, 700)))
    small, large = (fraction(data, data_fraction=level, seed=seed) for level in sorted((one, other)))
    assert set(small.tolist()) <= set(large.tolist())
    inside = set(data.train_patients[small].tolist())
    outside = np.setdiff1d(np.arange(700), small)
    assert not inside & set(data.train_patients[outside].tolist())


def test_size_is_right_to_a_patient() -> None:
    data = random_task()
    largest = np.bincount(data.train_patients).max()
    for level in LEVELS:
        positions = fraction(data, data_fraction=level, seed=1)
        assert abs(len(positions) - level * 4000) <= largest
        assert np.array_equal(positions, np.unique(positions))
    assert np.array_equal(fraction(data, data_fraction=1.0, seed=1), np.arange(4000))


def test_the_seed_draws_another_subset_and_nothing_else_does() -> None:
    data = random_task()
    one, again, other = (fraction(data, data_fraction=0.1, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    overlap = len(np.intersect1d(one, other)) / len(one)
    assert 0.03 < overlap < 0.25  # two independent tenths share a tenth


def test_labels_keep_their_rates() -> None:
    data = random_task()
    whole = data.train_labels.mean(axis=0)
    errors = {"ours": [], "at random": []}
    for seed in range(10):
        chosen = fraction(data, data_fraction=0.1, seed=seed)
        shuffled = np.random.default_rng(seed).permutation(4000)[: len(chosen)]
        for name, positions in (("ours", chosen), ("at random", shuffled)):
            errors[name].append(np.abs(data.train_labels[positions].mean(axis=0) - whole).mean())
    assert np.mean(errors["ours"]) < 0.5 * np.mean(errors["at random"])


def test_classes_that_lose_every_positive_are_named() -> None:
    labels = np.zeros((1000, 3), bool)
    labels[:, 1] = True
    labels[7, 2] = True
    data = make_task(labels)
    assert lost_classes(data, np.array([1, 2, 3])) == ("c00", "c02")
    assert lost_classes(data, np.array([7])) == ("c00",)


@pytest.mark.parametrize("level", [0, -0.1, 1.01, float("nan")])
def test_a_fraction_out_of_range_is_an_error(level: float) -> None:
    with pytest.raises(DataError, match=r"data_fraction = .* out of range"):
        fraction(random_task(), data_fraction=level, seed=0)


def test_a_fraction_that_leaves_no_record_is_an_error() -> None:
    with pytest.raises(DataError, match=r"data_fraction = 0.0001 leaves none of 4000"):
        fraction(random_task(), data_fraction=0.0001, seed=0)


def test_the_same_share_of_the_validation_records_is_chosen_by_the_same_rule() -> None:
    training = random_task(seed=3)
    data = replace(
        training, val_rows=training.train_rows + 4000, val_labels=training.train_labels,
        val_patients=training.train_patients,
    )  # fmt: skip
    part = with_val_part(data, data_fraction=0.1, seed=5)
    positions = fraction(data, data_fraction=0.1, seed=5)
    assert np.array_equal(part.val_rows, positions + 4000)
    assert np.array_equal(part.val_labels, data.val_labels[positions])
    assert np.array_equal(part.val_patients, data.val_patients[positions])
    assert part.train_rows is data.train_rows
    assert np.array_equal(with_val_part(data, data_fraction=1.0, seed=5).val_rows, data.val_rows)


def test_validation_records_of_which_nothing_can_be_scored_are_refused() -> None:
    data = make_task(np.zeros((50, 2), bool))
    bare = replace(data, val_rows=np.arange(50), val_labels=np.zeros((50, 2), bool), val_patients=np.arange(50))
    with pytest.raises(DataError, match=r"0.1 leaves 5 of 50 validation records, and no class has both outcomes"):
        with_val_part(bare, data_fraction=0.1, seed=1)
