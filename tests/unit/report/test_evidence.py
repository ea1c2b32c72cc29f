from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_study import CONTRASTS, Simulator

from ablate.report.context import Context
from ablate.report.evidence import Evidence, weigh
from ablate.report.study_record import StudyRecord
from ablate.report.version import digest_facts
from ablate.stats.declaration import Claim
from ablate.store.study_tables import StudyTables


def test_every_declared_contrast_is_answered_in_every_context(evidence: Evidence) -> None:
    assert not evidence.unanswered
    assert [(c.context["data_fraction"], c.name, c.metric) for c in evidence.contrasts] == [
        (fraction, entry["name"], metric)
        for fraction in (0.1, 1.0)
        for entry in CONTRASTS
        for metric in ("auroc", "auprc")
    ]


def test_a_difference_is_the_mean_of_the_blocks(finished: StudyTables, evidence: Evidence) -> None:
    slots = finished.slots.set_index("slot_id").join(finished.scores[["test_auroc"]])
    slots = slots[(slots["phase"] == "confirm") & (slots["data_fraction"] == 0.1)]
    by_arm = slots.pivot(index="index", columns="arm", values="test_auroc")
    found = {c.name: c for c in evidence.contrasts if c.context == {"data_fraction": 0.1} and c.metric == "auroc"}
    assert found["lp - ft"].difference == pytest.approx((by_arm["lp"] - by_arm["ft"]).mean(), abs=1e-9)
    both = by_arm["lp_sd"] - by_arm["lp"] - by_arm["sd"] + by_arm["ft"]
    assert found["lp x sd"].difference == pytest.approx(both.mean(), abs=1e-9)
    assert (found["lp - ft"].claim, found["lp x sd"].claim) == (Claim.GREATER, Claim.DIFFERENT)


def test_a_going_confirmation_gives_no_verdict(going: StudyTables) -> None:
    evidence = weigh(going)
    assert not evidence.contrasts
    assert {u.is_refused for u in evidence.unanswered} == {False}
    assert "4 of its 10 slots are done" in evidence.unanswered[0].reason


def test_partial_answers_from_the_complete_blocks(going: StudyTables) -> None:
    evidence = weigh(going, partial=True)
    assert {c.n_blocks for c in evidence.contrasts} == {2, 3}


def test_a_failed_slot_refuses_only_the_verdicts_that_need_it(failed: StudyTables) -> None:
    evidence = weigh(failed)
    refused = {(u.contrast, u.context) for u in evidence.unanswered if u.is_refused}
    assert refused == {(name, Context.of({"data_fraction": 0.1})) for name in ("lp - ft", "lp x sd")}
    assert all("confirm/lp/data_fraction=0.1/3" in u.reason for u in evidence.unanswered)
    assert len(evidence.contrasts) == 2 * (8 - 2)


def test_partial_leaves_the_block_of_a_failed_slot_out(failed: StudyTables) -> None:
    found = {(c.name, c.context["data_fraction"]): c.n_blocks for c in weigh(failed, partial=True).contrasts}
    assert found["lp - ft", 0.1] == 4
    assert found["sd - ft", 0.1] == 5


def test_mixed_digests_are_refused_by_name(mixed: StudyTables) -> None:
    evidence = weigh(mixed)
    assert evidence.refuses_tables
    assert not evidence.contrasts
    assert "code differs" in evidence.mixed[0]
    assert "confirm/sd/data_fraction=1.0/2" in evidence.mixed[0]
    assert not weigh(mixed, partial=True).refuses_tables


def test_an_arm_from_random_weights_has_an_encoder_of_its_own(finished: StudyTables) -> None:
    arm = finished.slots.set_index("slot_id")["arm"]
    init = pd.Series(np.where(arm == "ft", "random", "pretrained"), index=arm.index)
    encoder = init.map({"random": "1" * 64, "pretrained": "2" * 64})
    digests = finished.digests.assign(encoder=encoder.reindex(finished.digests.index))
    params = finished.params.assign(init=init.reindex(finished.params.index))
    assert not digest_facts(StudyRecord.of(replace(finished, digests=digests, params=params))).mixed
    assert digest_facts(StudyRecord.of(replace(finished, digests=digests))).mixed


def test_sealed_contrasts_count_not_those_of_the_file() -> None:
    simulator = Simulator(n_records=120, search_trials=2, replicates=5, fractions=(0.1,))
    tables = simulator.tables()
    sealed = {**(tables.seal or {}), "contrasts": [{"name": "only", "weights": {"lp": 1.0, "ft": -1.0}}]}
    evidence = weigh(replace(tables, seal=sealed))
    assert {c.name for c in evidence.contrasts} == {"only"}


def test_classes_without_both_outcomes_do_not_count(finished: StudyTables) -> None:
    assert finished.test is not None
    labels = finished.test.labels.copy()
    labels[:, 0] = False
    tables = replace(finished, test=replace(finished.test, labels=labels))
    assert {c.n_classes for c in weigh(tables).contrasts} == {len(finished.test.classes) - 1}
