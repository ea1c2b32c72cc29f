import numpy as np
import pytest
import torch

from ablate.train.epoch_plan import Batch, epoch_order, plan_epoch
from ablate.train.signals import Rows, Signals, n_pieces

CPU = torch.device("cpu")
ROWS = np.arange(100, 110)


def plan(
    *,
    epoch: int = 1,
    seed: int = 1,
    stage: str = "finetune",
    batch_size: int = 4,
    micro_batch: int | None = None,
    **others: float,
) -> list[Batch]:
    return plan_epoch(
        ROWS, device=CPU, seed=seed, stage=stage, epoch=epoch, n_epochs=3, batch_size=batch_size,
        micro_batch=micro_batch, **others,
    )  # fmt: skip


def rows_of(batches: list[Batch]) -> list[np.int64]:
    return [row for batch in batches for piece in batch.pieces for row in piece.rows.host]


def test_each_epoch_and_seed_has_an_order_of_its_own_that_comes_back() -> None:
    first = epoch_order(100, seed=1, stage="finetune", epoch=1)
    assert sorted(first) == list(range(100))
    assert (first == epoch_order(100, seed=1, stage="finetune", epoch=1)).all()
    for other in (
        epoch_order(100, seed=1, stage="finetune", epoch=2),
        epoch_order(100, seed=2, stage="finetune", epoch=1),
        epoch_order(100, seed=1, stage="probe", epoch=1),
    ):
        assert (first != other).any()


def test_an_epoch_has_every_record_once_and_no_batch_is_too_large() -> None:
    batches = plan()
    assert sorted(rows_of(batches)) == ROWS.tolist()
    assert [batch.n_records for batch in batches] == [4, 4, 2]
    for batch in batches:
        (piece,) = batch.pieces
        assert (ROWS[piece.positions.host] == piece.rows.host).all()
        assert piece.rows.device.tolist() == piece.rows.host.tolist()
        assert piece.positions.device.tolist() == piece.positions.host.tolist()


@pytest.mark.parametrize("micro_batch", [1, 3, 4, 100])
def test_micro_batches_are_the_same_batches_in_pieces(micro_batch: int) -> None:
    whole, parts = plan(), plan(micro_batch=micro_batch)
    assert rows_of(parts) == rows_of(whole)
    assert [batch.n_records for batch in parts] == [batch.n_records for batch in whole]
    assert all(len(piece) <= micro_batch for batch in parts for piece in batch.pieces)


def test_rates_go_on_from_epoch_to_epoch() -> None:
    factors = [batch.rate_factor for epoch in (1, 2, 3) for batch in plan(epoch=epoch, warmup_fraction=0.3)]
    assert len(factors) == 9
    assert factors[2] == factors[3] == 1.0
    assert factors[:3] == sorted(factors[:3])
    assert factors[3:] == sorted(factors[3:], reverse=True)
    assert factors[-1] == 0.0


@pytest.mark.parametrize("view", [slice(None), slice(None, None, -1), slice(1, None, 3)])
def test_every_view_of_rows_becomes_rows_on_a_device(view: slice) -> None:
    rows = Rows.on(CPU, np.arange(10)[view])
    assert rows.device.tolist() == rows.host.tolist() == np.arange(10)[view].tolist()


def test_pieces_hold_every_row_once_in_order() -> None:
    for n_records in (0, 1, 7, 8, 9):
        pieces = list(Rows.on(CPU, np.arange(n_records)).pieces(4))
        assert len(pieces) == n_pieces(n_records, 4)
        assert [row for piece in pieces for row in piece.host] == list(range(n_records))
        assert all(len(piece) == 4 for piece in pieces[:-1])


def test_batches_are_the_rows_in_float32_and_leave_the_array_alone() -> None:
    stored = np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float16)
    stored.flags.writeable = False
    signals = Signals(stored, device=CPU)
    batch = signals.batch(signals.rows(np.array([4, 1, 4])))
    assert batch.dtype == torch.float32
    assert np.array_equal(batch.numpy(), stored[[4, 1, 4]].astype(np.float32))
