from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from simulated_study import START, simulated_spec

from ablate.report.arm import arm_facts
from ablate.report.budget import budget_facts, budget_section
from ablate.report.caveat import caveats
from ablate.report.class_difference import class_facts
from ablate.report.context import Context
from ablate.report.curve import curve_facts
from ablate.report.deviation import deviation_facts, deviation_section
from ablate.report.fold import fold_facts, fold_sentence
from ablate.report.paper_claim import claim_facts, claim_section, post_trained
from ablate.report.seal import gap_facts, reach_line, seal_facts, seal_limits
from ablate.report.section import render
from ablate.report.study_record import StudyRecord
from ablate.report.version import digest_facts
from ablate.store.slot import SlotState
from ablate.store.study_tables import StudyTables
from ablate.study.plan import chain
from ablate.study.seal import SealedChoice, SealedEdge
from ablate.study.spec import Margin, SearchTrials

TENTH = Context.of({"data_fraction": 0.1})


def test_the_ledger_counts_reads_of_the_test_fold(study: StudyRecord, searching: StudyTables) -> None:
    facts = seal_facts(study)
    assert (facts.n_reads, facts.n_slots_read, facts.sealed_at) == (40, 40, START + timedelta(hours=1))
    assert facts.margin == Margin(auroc=0.005, auprc=0.01)
    assert ("lp_sd", TENTH, 0) in facts.chosen
    assert (seal_facts(StudyRecord.of(searching)).sealed_at, seal_facts(StudyRecord.of(searching)).n_reads) == (None, 0)


def test_the_gap_is_the_best_validation_score_above_the_test_mean(study: StudyRecord) -> None:
    gap = next(g for g in gap_facts(study) if (g.arm, g.context) == ("ft", TENTH))
    assert gap.searched is not None
    assert gap.tested is not None
    assert gap.best_above_test == pytest.approx(gap.searched - gap.tested)
    slots = study.tables.slots[(study.tables.slots["phase"] == "search") & (study.tables.slots["arm"] == "ft")]
    slots = slots[slots["data_fraction"] == 0.1]
    assert gap.searched == study.tables.scores.loc[slots["slot_id"], "val_auroc"].max()


def test_hours_are_useful_shared_or_failed(failed: StudyTables) -> None:
    facts = budget_facts(StudyRecord.of(failed))
    spans = (failed.attempts["ended_at"] - failed.attempts["started_at"]).dt.total_seconds()
    assert sum(sum(arm.values()) for arm in facts.seconds.values()) == pytest.approx(spans.sum())
    lost = spans[failed.attempts["outcome"] == "diverged"].sum()
    assert facts.seconds["lp"]["failed"] == pytest.approx(lost)
    assert sum(arm["shared"] for arm in facts.seconds.values()) == pytest.approx(0.8)
    assert facts.slots["confirm", "lp", TENTH] == {SlotState.DONE: 4, SlotState.FAILED: 1}


def test_an_unequal_search_is_called_unfair(study: StudyRecord) -> None:
    assert budget_facts(study).is_equal
    moved = study.tables.slots["arm"].mask(study.tables.slots["key"] == "search/ft/data_fraction=0.1/0", "lp_sd")
    assert not budget_facts(StudyRecord.of(replace(study.tables, slots=study.tables.slots.assign(arm=moved)))).is_equal


def test_the_page_shows_how_many_trainers_shared_a_gpu(study: StudyRecord) -> None:
    levels = [
        {"n_trainers": n, "steps_per_s": pace, "used_bytes": n * 2**31, "total_bytes": 80 * 2**30}
        for n, pace in ((1, 100.0), (2, 180.0), (3, 190.0))
    ]
    packing = {"gpu": "NVIDIA H100", "levels": levels, "n_trainers": 2, "why": "one more makes it 1.06 times as fast"}
    page = render(budget_section(StudyRecord.of(replace(study.tables, packings=(packing,)))))
    assert "2 on NVIDIA H100 (one more makes it 1.06 times as fast)" in page
    assert all(text in page for text in ("180.0", "1.80", "4.0 of 80.0"))
    assert "Trainers sharing" not in render(budget_section(study))


def test_deviations_name_failed_slots_and_reasons(failed: StudyTables, study: StudyRecord) -> None:
    facts = deviation_facts(StudyRecord.of(failed))
    assert facts.failed == (("confirm/lp/data_fraction=0.1/3", 3, "Diverged: loss is nan at epoch 3"),)
    assert deviation_facts(study).failed == ()


def test_unfinished_slots_are_counted(going: StudyTables) -> None:
    assert deviation_facts(StudyRecord.of(going)).unfinished == {"confirm": 20}


def test_lost_classes_are_named(study: StudyRecord) -> None:
    lost = [["WPW", "PVC"]] + [[]] * (len(study.tables.scores) - 1)
    assert deviation_facts(
        StudyRecord.of(replace(study.tables, scores=study.tables.scores.assign(lost_classes=lost)))
    ).lost == ("PVC", "WPW")


def test_damaged_records_that_were_left_out_are_counted(study: StudyRecord) -> None:
    skipping = replace(study.tables, scores=study.tables.scores.assign(n_skipped=3))
    assert "3 damaged records were left out" in render(deviation_section(StudyRecord.of(skipping)))
    assert "damaged" not in render(deviation_section(study))


def test_digests_by_phase(study: StudyRecord, mixed: StudyTables) -> None:
    assert digest_facts(study).versions["confirm", "code"] == {"c" * 12: 40}
    assert digest_facts(study).mixed == ()
    assert digest_facts(StudyRecord.of(mixed)).versions["confirm", "code"] == {"9" * 12: 1, "c" * 12: 39}


def test_relative_improvements_stand_beside_the_paper(study: StudyRecord) -> None:
    facts = claim_facts(study, arm_facts(study))
    means = study.tables.slots[study.tables.slots["phase"] == "confirm"].join(
        study.tables.scores["test_auprc"], on="slot_id"
    )
    means = means[means["data_fraction"] == 0.1].groupby("arm")["test_auprc"].mean()
    found = next(m for m in facts.measured if (m.arm, m.context) == ("lp_sd", TENTH))
    assert found.auprc == pytest.approx(means["lp_sd"] / means["ft"] - 1)
    assert post_trained(study.spec) == "lp_sd"
    assert facts.share_sentence.startswith("Here lp_sd")


def test_the_claims_stand_only_where_the_study_asks_for_them(study: StudyRecord) -> None:
    assert claim_section(study, arm_facts(study)) is not None
    silent = replace(study, spec=simulated_spec(claims=None))
    assert claim_section(silent, arm_facts(silent)) is None


def test_stand_ins_are_called_so(study: StudyRecord) -> None:
    told = " ".join(caveats(study.spec))
    assert "stand-in for ECGFounder" in told
    assert "cohort is synthetic" in told
    assert "unions of the labels" in told
    encoder = {"name": "ecgfounder", "weights": "/w.pth"}
    assert caveats(simulated_spec(encoder=encoder, data={"source": "ptbxl", "task": "all"})) == ()


def test_curves_line_up_at_the_start_of_fine_tuning(study: StudyRecord) -> None:
    facts = curve_facts(study, context=TENTH, column="val_auroc")
    assert facts.phase == "confirm"
    assert [point[0] for point in facts.curves["ft"]] == list(range(1, 9))
    assert [point[0] for point in facts.curves["lp"]] == list(range(-3, 9))
    _, mean, low, high, n = facts.curves["lp"][-1]
    assert low < mean < high
    assert n == 5


def test_class_differences_are_means_over_blocks(study: StudyRecord) -> None:
    facts = class_facts(study, context=TENTH)
    slots = study.tables.slots.set_index("slot_id")
    scores = (
        study.tables.class_scores[study.tables.class_scores["class_name"] == "NORM"].set_index("slot_id").join(slots)
    )
    scores = scores[scores["data_fraction"] == 0.1].pivot(index="index", columns="arm", values="auroc")
    found = next(d for d in facts.differences if (d.class_name, d.contrast) == ("NORM", "lp - ft"))
    assert found.difference == pytest.approx((scores["lp"] - scores["ft"]).mean())
    assert found.n == 5
    assert facts.split == "test"


def test_a_class_without_a_score_is_named(study: StudyRecord) -> None:
    scores = study.tables.class_scores.copy()
    scores.loc[scores["class_name"] == "WPW", "auroc"] = float("nan")
    facts = class_facts(StudyRecord.of(replace(study.tables, class_scores=scores)), context=TENTH)
    assert facts.without_score == ("WPW",)
    assert "WPW" not in facts.classes


def test_declared_contrasts_stand_with_the_seal(study: StudyRecord) -> None:
    assert seal_facts(study).contrasts[0] == ("sd - ft", "sd − ft")
    assert seal_facts(study).contrasts[3] == ("lp x sd", "lp_sd − lp − sd + ft")
    assert seal_facts(study).is_sealed


def test_the_test_fold_is_sized_and_its_rare_classes_are_marked(study: StudyRecord) -> None:
    test = study.tables.test
    assert test is not None
    labels = test.labels.copy()
    labels[:, 0] = False
    labels[:, 1] = np.arange(len(labels)) < 9
    silent = StudyRecord.of(replace(study.tables, test=replace(test, labels=labels)))
    facts = fold_facts(silent)
    assert facts is not None
    assert (facts.n_records, facts.n_patients) == (150, len(np.unique(test.patient_id)))
    assert [one.name for one in facts.rare] == [test.classes[1]]
    sentence = fold_sentence(facts)
    assert sentence.startswith("Macro scores are means over 4 classes; 1 more lack an outcome there and do not count.")
    assert f"Fewer than 10 positives: {test.classes[1]} (9)." in sentence
    assert fold_facts(StudyRecord.of(replace(study.tables, test=None))) is None


def test_the_page_says_for_which_params_the_verdicts_hold(study: StudyRecord) -> None:
    assert study.seal is not None
    assert seal_limits(study)[0].startswith("Each arm was tuned once: the verdicts hold for the sealed params")
    name = chain("lp", TENTH.values, 2)  # of three searches the last
    settled = {key: c.model_copy(update={"is_settled": True, "edges": ()}) for key, c in study.seal.chosen.items()}
    edge = SealedEdge(name="ft_lr", end="high", value=3e-3)
    unsettled = {"is_settled": False, "remaining_gain": 0.0041, "edges": (edge,)}
    chosen = settled | {name: settled[chain("lp", TENTH.values)].model_copy(update=unsettled)}
    seal = study.seal.model_copy(update={"chosen": chosen, "searches": 3})
    assert seal_limits(replace(study, seal=seal)) == (
        "Searches that are not settled, so that more trials may still gain: "
        "lp with 10 % of the data, search 3 (expected gain 0.0041).",
        "Best at an end of its range, so that better may lie beyond: ft_lr = 0.003 of lp with 10 % of the data, "
        "search 3.",
    )
    assert seal_limits(replace(study, seal=None)) == ()
    assert "for the params that one search of each arm chose" in reach_line(study)
    line = reach_line(replace(study, seal=seal))
    assert line.startswith("5 classes, 150 test records of ")
    assert "3 searches an arm; 1 of 9 searches are not settled; 1 best values at an end" in line
    assert reach_line(replace(study, seal=None)) == ""
    alone = replace(study, seal=study.seal)
    assert "the search's part in a difference: up to 0.0" in " ".join(seal_limits(alone))


def test_labels_that_choose_are_counted_beside_those_that_train(study: StudyRecord) -> None:
    page = render(budget_section(study))
    assert "Labels with 10 % of the data: 90 records train, 110 choose the epoch and the params. More labels" in page
    assert "Labels with all of the data: 900 records train, 110 choose the epoch and the params.<" in page
    assert "more labels choose (110) than train (90)" in reach_line(study)
    uncounted = replace(study.tables, scores=study.tables.scores.drop(columns="n_val"))  # as an older store has them
    assert "labels choose" not in render(budget_section(StudyRecord.of(uncounted)))


def test_a_seal_over_an_incomplete_search_says_so_for_ever(study: StudyRecord) -> None:
    assert study.seal is not None
    missing = "sd at data_fraction=0.1: 1 of 8 search trials failed or were cancelled"
    sealed = replace(study, seal=study.seal.model_copy(update={"incomplete": (missing,)}))
    assert "sealed over an incomplete search" in reach_line(sealed)
    assert f"Sealed by its author over an incomplete search: {missing}." in seal_limits(sealed)
    assert "incomplete" not in reach_line(study)


def test_searches_that_settle_are_fair_with_unequal_numbers_of_trials(study: StudyRecord) -> None:
    moved = study.tables.slots["arm"].where(study.tables.slots["key"] != study.tables.slots["key"].iloc[0], "lp_sd")
    unequal = StudyRecord.of(replace(study.tables, slots=study.tables.slots.assign(arm=moved)))
    assert "is not fair" in render(budget_section(unequal))
    trials = SearchTrials(first=4, most=12, until="settled")
    budget = study.spec.budget.model_copy(update={"search_trials": trials})
    page = render(budget_section(replace(unequal, spec=study.spec.model_copy(update={"budget": budget}))))
    assert "at least 4 trials, then more until it was settled, 12 at most" in page
    assert "is not fair" not in page


def test_where_nothing_was_searched_no_search_is_spoken_of(study: StudyRecord) -> None:
    assert study.seal is not None
    usual = {key: SealedChoice(params=one.params, score=None) for key, one in study.seal.chosen.items()}
    untuned = replace(study, seal=study.seal.model_copy(update={"chosen": usual}))
    assert seal_limits(untuned) == ("No arm was tuned: the verdicts hold for the recipe's usual params.",)
    assert "for the recipe's usual params, which no search chose" in reach_line(untuned)
