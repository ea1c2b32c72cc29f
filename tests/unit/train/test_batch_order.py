import numpy as np
import pytest
import torch

from ablate.train.batch import Signals, n_pieces, on_device, order, pieces


def test_each_epoch_and_seed_has_an_order_of_its_own_that_comes_back():
    first = order(100, seed=1, stage="finetune", epoch=1)
    assert sorted(first) == list(range(100))
    assert (first == order(100, seed=1, stage="finetune", epoch=1)).all()
    for other in (
        order(100, seed=1, stage="finetune", epoch=2),
        order(100, seed=2, stage="finetune", epoch=1),
        order(100, seed=1, stage="probe", epoch=1),
    ):
        assert (first != other).any()


def test_pieces_hold_every_row_once_in_order():
    for n_records in (0, 1, 7, 8, 9):
        found = list(pieces(np.arange(n_records), 4))
        assert len(found) == n_pieces(n_records, 4)
        assert [row for piece in found for row in piece] == list(range(n_records))
        assert all(len(piece) == 4 for piece in found[:-1])


def test_batches_are_the_rows_in_float32_and_leave_the_array_alone():
    stored = np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float16)
    stored.flags.writeable = False
    batch = Signals(stored, device=torch.device("cpu")).batch(np.array([4, 1, 4]))
    assert batch.dtype == torch.float32
    assert np.array_equal(batch.numpy(), stored[[4, 1, 4]].astype(np.float32))


@pytest.mark.parametrize("view", [slice(None), slice(None, None, -1), slice(1, None, 3)])
def test_every_view_of_rows_becomes_an_index_on_a_device(view):
    rows = np.arange(10)[view]
    assert on_device(rows, torch.device("cpu")).tolist() == rows.tolist()
