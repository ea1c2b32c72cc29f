import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.ecg.balanced_order import balanced_order


@st.composite
def label_tables(draw: st.DrawFn) -> np.ndarray:
    n_items, n_labels = draw(st.integers(0, 300)), draw(st.integers(0, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.random((n_items, n_labels)) < random.uniform(0, 0.6, n_labels)


@given(label_tables(), st.integers(0, 2**62))
@settings(max_examples=60, deadline=None)
def test_it_is_an_order_of_all_items_that_the_seed_determines(labels: np.ndarray, seed: int) -> None:
    order = balanced_order(labels, seed=seed)
    assert sorted(order) == list(range(len(labels)))
    assert np.array_equal(order, balanced_order(labels, seed=seed))


def test_a_rare_label_is_spread_evenly_over_the_order() -> None:
    labels = np.zeros((1024, 2), bool)
    labels[:64, 0] = True
    labels[::2, 1] = True
    for seed in range(20):
        order = balanced_order(labels, seed=seed)
        for n in (128, 256, 512):
            share = n / 1024
            assert abs(labels[order[:n], 0].sum() - 64 * share) <= 1
            assert abs(labels[order[:n], 1].sum() - 512 * share) <= 2


def test_prefixes_are_nearer_to_the_whole_than_those_of_a_shuffle() -> None:
    random = np.random.default_rng(0)
    labels = random.random((2000, 30)) < np.geomspace(0.005, 0.5, 30)
    shuffled, balanced = [], []
    for seed in range(20):
        for collected, order in (
            (balanced, balanced_order(labels, seed=seed)),
            (shuffled, np.random.default_rng(seed).permutation(2000)),
        ):
            collected.append(np.abs(labels[order[:200]].mean(axis=0) - labels.mean(axis=0)).mean())
    assert np.mean(balanced) < 0.5 * np.mean(shuffled)


def test_no_item_is_favoured() -> None:
    labels = np.zeros((16, 2), bool)
    labels[:3, 0] = labels[2:6, 1] = True
    orders = np.array([balanced_order(labels, seed=seed) for seed in range(4000)])
    for n, share in ((1, 1 / 16), (8, 1 / 2)):
        counts = np.bincount(orders[:, :n].ravel(), minlength=16)
        spread = 4 * np.sqrt(4000 * share * (1 - share))
        assert np.abs(counts - 4000 * share).max() < spread
