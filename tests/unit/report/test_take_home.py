"""Which trial is taken home: what words leave open, validation scores choose; what cannot be is said."""

import dataclasses

import pytest
from simulated_study import Simulator

from ablate.errors import AblateError, OptionError, StoreError
from ablate.report.study_record import StudyRecord
from ablate.report.take_home import take
from ablate.store.study_tables import StudyTables

WHOLE = ("data_fraction=1",)


def test_what_is_left_open_is_chosen_by_validation_scores(study: StudyRecord) -> None:
    taken = take(study, context=WHOLE)
    rows = study.finished("confirm")
    rows = rows[rows["data_fraction"] == 1.0]
    assert taken.arm == rows.groupby("arm")["val_auroc"].mean().idxmax()
    assert taken.slot_id == rows[rows["arm"] == taken.arm]["val_auroc"].idxmax()
    assert taken.context.values == {"data_fraction": 1.0}


def test_the_test_fold_chooses_nothing(study: StudyRecord) -> None:
    scores = study.tables.scores.assign(test_auroc=lambda all_: -all_["test_auroc"], test_auprc=0.0)
    turned = StudyRecord.of(dataclasses.replace(study.tables, scores=scores))
    assert take(turned, context=WHOLE) == take(study, context=WHOLE)


def test_what_is_named_is_taken_with_the_params_of_the_seal(study: StudyRecord) -> None:
    taken = take(study, arm="lp", context=("data_fraction=0.1",), replicate=3)
    row = study.slots.loc[taken.slot_id]
    assert (row["key"], row["seed"], row["index"]) == ("confirm/lp/data_fraction=0.1/3", taken.seed, 3)
    assert study.seal is not None
    choice = study.seal.choice("lp", {"data_fraction": 0.1})
    assert choice is not None
    assert taken.params == choice.params


def test_only_what_is_there_may_be_taken(study: StudyRecord) -> None:
    rows = study.finished("confirm")
    lp = rows[(rows["arm"] == "lp") & (rows["data_fraction"] == 1.0)]["slot_id"].tolist()
    assert take(study, arm="lp", context=WHOLE, among=lp[1:2]).slot_id == lp[1]


def test_one_context_needs_no_name() -> None:
    study = StudyRecord.of(
        Simulator(search_trials=4, replicates=2, n_records=60, n_classes=3, fractions=(0.1,)).tables()
    )
    assert take(study, arm="ft").context.values == {"data_fraction": 0.1}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"arm": "lq", "context": WHOLE}, "--arm lq: no such arm in sd_vs_lp; known here: ft, sd, lp, lp_sd"),
        ({}, "which context? nothing fits 2 of sd_vs_lp; give one of: --context data_fraction=0.1; --context"),
        ({"context": ("data_fraction=0.3",)}, "--context data_fraction=0.3: expected one of 0.1, 1.0"),
        ({"context": ("data_fraction=0.1", "data_fraction=1.0")}, "fits 0 of sd_vs_lp"),
        ({"context": ("ft_lr=1",)}, "--context ft_lr=1: expected a factor with its value; there are: data_fraction=…"),
        ({"context": WHOLE, "replicate": 5}, "--replicate 5: not confirmed in sd_vs_lp; there are 0, 1, 2, 3 and 4"),
    ],
)
def test_what_is_not_there_is_said(study: StudyRecord, given: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError) as raised:
        take(study, **given)  # type: ignore[arg-type]
    assert says in str(raised.value)


def test_nothing_is_taken_before_the_seal_and_the_confirmation(searching: StudyTables) -> None:
    with pytest.raises(StoreError, match="not sealed yet, so no recipe is chosen"):
        take(StudyRecord.of(searching), arm="lp", context=WHOLE)
    begun = StudyRecord.of(Simulator(search_trials=4, replicates=5, n_records=60, n_classes=3, confirmed=0.04).tables())
    with pytest.raises(AblateError, match="no confirmed trial of lp_sd"):
        take(begun, arm="lp_sd", context=("data_fraction=0.1",))
