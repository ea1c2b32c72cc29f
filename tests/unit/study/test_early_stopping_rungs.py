"""What a search trial must reach: fixed by earlier trials alone, and asked for in the study file."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from planned_search import PLAIN_NUMBERS, search_slots

from ablate.errors import SpecError
from ablate.store.slot import Past
from ablate.study.file import load_spec
from ablate.study.search import rungs
from ablate.study.spec import Spec
from ablate.train.early_stopping import EarlyStopping, at_updates, thresholds

ENOUGH = ["budget.search_trials=8", "budget.generation=4"]


def columns(curve: Sequence[float | None]) -> dict[str, list[Any]]:
    """The epochs of a trial that probed for nine of them."""
    return {
        "stage": [*["probe"] * 9, *["finetune"] * len(curve)],
        "epoch": [*range(1, 10), *range(1, len(curve) + 1)],
        "val_auroc": [*[0.99] * 9, *curve],
    }


def past(curve: list[float | None], *, stopped_epoch: int | None = None) -> dict[int, float]:
    """The curve of a finished trial with nine epochs of probing before those of ``curve``."""
    return Past(params={}, scores={}, epochs=columns(curve), stopped_epoch=stopped_epoch).curve("val_auroc")


@pytest.mark.parametrize(
    ("early", "n_epochs", "expected"),
    [
        (EarlyStopping(), 15, (1, 3, 9)),
        (EarlyStopping(), 9, (1, 3)),  # the last epoch is no rung
        (EarlyStopping(first_rung=3), 30, (3, 9, 27)),
        (EarlyStopping(eta=2, first_rung=2), 16, (2, 4, 8)),
        (EarlyStopping(first_rung=3), 3, ()),
    ],
)
def test_rungs_lie_at_powers_of_eta_before_the_last_epoch(
    early: EarlyStopping, n_epochs: int, expected: tuple[int, ...]
) -> None:
    assert early.rungs(n_epochs) == expected


def test_a_threshold_is_the_quantile_of_what_earlier_trials_had_in_that_epoch_of_fine_tuning() -> None:
    first, third = [0.5, 0.6, 0.7, 0.8], [0.65, 0.6, 0.9, 0.7]
    seen = [past([a, 0.1, b, 0.1, 0.2]) for a, b in zip(first, third, strict=True)]
    found = thresholds(EarlyStopping(first_rung=1), seen, select="val_auroc", n_epochs=5)
    assert found is not None
    assert found.score == "val_auroc"
    assert found.thresholds == {1: np.quantile(first, 2 / 3), 3: np.quantile(third, 2 / 3)}


def test_stopped_trials_count_where_they_came_and_a_rung_of_too_few_decides_nothing() -> None:
    seen = [past([0.5], stopped_epoch=1), past([0.6], stopped_epoch=1), past([0.7, 0.7, 0.7, 0.7])]
    found = thresholds(EarlyStopping(first_rung=1), seen, select="val_auroc", n_epochs=4)
    assert found is not None
    assert found.thresholds == {1: np.quantile([0.5, 0.6, 0.7], 2 / 3)}
    assert thresholds(EarlyStopping(first_rung=1), seen[:2], select="val_auroc", n_epochs=4) is None
    assert thresholds(EarlyStopping(first_rung=1), [], select="val_auroc", n_epochs=4) is None


def test_a_score_that_is_not_finite_is_no_threshold() -> None:
    seen = [past([value, 0.5]) for value in (0.5, None, math.nan, 0.7)]
    assert thresholds(EarlyStopping(first_rung=1), seen, select="val_auroc", n_epochs=2) is None
    found = thresholds(EarlyStopping(eta=2, first_rung=1), seen, select="val_auroc", n_epochs=2)
    assert found is not None
    assert found.thresholds == {1: 0.6}


def test_true_is_the_usual_one_and_a_table_says_more() -> None:
    assert load_spec(PLAIN_NUMBERS).search.early_stopping is None
    assert load_spec(PLAIN_NUMBERS, overrides=["search.early_stopping=false"]).search.early_stopping is None
    usual = load_spec(PLAIN_NUMBERS, overrides=["search.early_stopping=true", *ENOUGH])
    assert usual.search.early_stopping == EarlyStopping(eta=3, first_rung=1)
    finer = load_spec(PLAIN_NUMBERS, overrides=["search.early_stopping={eta=2, first_rung=2}"])
    assert finer.search.early_stopping == EarlyStopping(eta=2, first_rung=2)
    assert Spec.from_document(finer.document()) == finer


def test_a_study_without_it_keeps_the_digest_that_it_had_before_there_was_any() -> None:
    spec = load_spec(PLAIN_NUMBERS)
    assert spec.document()["search"] == {"sampler": "posterior"}
    stopping = load_spec(PLAIN_NUMBERS, overrides=["search.early_stopping=true", *ENOUGH])
    assert spec.digest() != stopping.digest()


@pytest.mark.parametrize(
    ("study", "overrides", "words"),
    [
        (PLAIN_NUMBERS, ["search.early_stopping=true"], "no trial would have more than 2 with search_trials = 4"),
        (PLAIN_NUMBERS, ["search.early_stopping={eta=1}", *ENOUGH], "early_stopping.eta = 1"),
        (PLAIN_NUMBERS, ["search.early_stopping={first_rung=5}", *ENOUGH], "first_rung = 5 must come before the last"),
        (PLAIN_NUMBERS, ["search.early_stopping='yes'", *ENOUGH], "search.early_stopping = 'yes'"),
        ("search", ["search.early_stopping=true"], "move data_fraction to"),
    ],
)
def test_what_could_not_work_is_refused(study: str, overrides: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_spec(study, overrides=overrides)


def test_trials_are_compared_at_equal_updates() -> None:
    curve = {1: 0.5, 2: 0.6, 3: 0.7, 4: 0.8}
    assert at_updates(curve, batch_size=32, own=32) == curve
    assert at_updates(curve, batch_size=64, own=32) == {1: 0.6, 2: 0.8}  # twice the epochs for as many updates
    assert at_updates(curve, batch_size=32, own=64)[5] == 0.7
    assert at_updates({}, batch_size=32, own=64) == {}


def test_epochs_may_be_searched_and_each_trial_has_the_rungs_of_its_own_length() -> None:
    third = "search.early_stopping={first_rung=3}"
    wider = ["fixed={batch_size=64}", "space.ft_epochs={low=2, high=12}", third, *ENOUGH]
    spec = load_spec(PLAIN_NUMBERS, overrides=wider)
    assert spec.ft_epochs("ft", {"data_fraction": 0.1}) is None
    slot = search_slots(spec, "ft", {"data_fraction": 0.1})[4]
    seen = [
        Past(
            params={"ft_epochs": 12, "batch_size": 64},
            scores={},
            index=index,
            epochs=columns([level + 0.01 * e for e in range(12)]),
        )
        for index, level in enumerate((0.5, 0.6, 0.7))
    ]
    found = {n_epochs: rungs(spec, slot, {"ft_epochs": n_epochs, "batch_size": 64}, seen) for n_epochs in (2, 5, 12)}
    assert found[2] is None
    assert list(found[5].thresholds) == [3]
    assert list(found[12].thresholds) == [3, 9]
    assert found[5].thresholds[3] == pytest.approx(np.quantile([0.52, 0.62, 0.72], 2 / 3))
    short = [*wider[:1], "space.ft_epochs={low=1, high=3}", *wider[2:]]
    with pytest.raises(SpecError, match="first_rung = 3 must come before the last"):
        load_spec(PLAIN_NUMBERS, overrides=short)
    in_context = ["fixed={batch_size=64}", "context.ft_epochs=[4, 8]", "search.early_stopping=true", *ENOUGH]
    assert load_spec(PLAIN_NUMBERS, overrides=in_context).ft_epochs("ft", {"ft_epochs": 8}) == 8
