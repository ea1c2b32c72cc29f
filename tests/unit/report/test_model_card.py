"""The model card: figures of the report, what a reader has to know, and nothing that the report would not show."""

import re
from typing import Any

from simulated_study import CLASSES, Simulator

from ablate.exported.manifest import Digests, Encoder, Manifest, Origin, Records
from ablate.report import wording
from ablate.report.arm import arm_facts
from ablate.report.context import Context
from ablate.report.evidence import Evidence, weigh
from ablate.report.model_card import model_card
from ablate.train.params import Params

TENTH = {"data_fraction": 0.1}
SHOWN = CLASSES[-5:]
MANIFEST = Manifest(
    ablate="0.1.0",
    origin=Origin(training="replicate", study="sd_vs_lp", question="Why?", arm="lp", title="probe first", context=TENTH,
                  replicate=3, search=0, seed=1),
    encoder=Encoder(name="net1d_small", weights="embedded", precision="fp32"),
    records=Records(fs_hz=100, duration_s=10, leads=("I", "II"), n_window=250, preprocessing="none",
                    preprocessing_version=1),
    data={"source": "synthetic"},
    classes=SHOWN,
    thresholds=dict.fromkeys(SHOWN, 0.25) | {SHOWN[0]: None},
    params=Params().document(),
    scores={"val_auroc": 0.8, "val_auroc_last": 0.7},
    class_scores={"val": dict.fromkeys(SHOWN, (0.8, 0.4)) | {SHOWN[0]: (None, None)}},
    best_epoch=4,
    n_train=17,
    digests=Digests(weights="w", spec="s", data="d", encoder="e", code="c", environment="v"),
)  # fmt: skip


def changed(**changes: Any) -> Manifest:
    return MANIFEST.model_copy(update=changes)


def test_the_arms_figures_and_sentences_are_those_of_the_report(evidence: Evidence) -> None:
    card, facts = model_card(evidence, MANIFEST), arm_facts(evidence.study, evidence)
    for column in facts.columns:
        one = facts.score("lp", Context.of(TENTH), column)
        cells = (
            wording.metric_name(column),
            str(one.n),
            wording.spread(one.mean, one.sd),
            wording.interval(one.low, one.high),
        )
        assert "| " + " | ".join(cells) + " |" in card
    said = re.findall(r"^- (?:supported|refuted|equivalent|not established|not tested): ", card, re.MULTILINE)
    assert len(said) == 2  # lp against ft, and the interaction; not sd against ft


def test_scores_that_may_not_stand_side_by_side_are_not_shown() -> None:
    small = {"n_records": 150, "n_classes": 5, "search_trials": 4, "replicates": 5}
    mixed = weigh(Simulator(**small, mixed=("confirm/lp/data_fraction=0.1/0",)).tables())
    assert mixed.refuses_tables
    card = model_card(mixed, MANIFEST)
    assert "The report shows none: " in card
    assert "| test AUROC |" not in card


def test_a_class_without_a_threshold_and_a_score_of_the_last_epoch(evidence: Evidence) -> None:
    card = model_card(evidence, MANIFEST)
    assert f"| {SHOWN[0]} | – | – | – |" in card
    assert f"| {SHOWN[1]} | 0.2500 | 0.8000 | 0.4000 |" in card
    assert "0.7000" not in card
    assert "seen in windows of 2.5 s" in card


def test_what_was_trained_anew_says_that_it_has_no_test_score(evidence: Evidence) -> None:
    origin = MANIFEST.origin.model_copy(update={"training": "retrained"})
    assert "so it has no test score of its own" in model_card(evidence, changed(origin=origin))
    assert "so it has no test score of its own" not in model_card(evidence, MANIFEST)


def test_somebodys_code_is_named_wherever_the_model_is_loaded(evidence: Evidence) -> None:
    card = model_card(
        evidence, changed(encoder=Encoder(name="own.py:make", weights="random", precision="fp32", source="x"))
    )
    assert 'load_model(".", encoder="own.py:make")' in card
    assert "--encoder own.py:make" in card


def test_weights_from_ptbxl_name_their_source(evidence: Evidence) -> None:
    assert "CC BY 4.0" in model_card(evidence, changed(data={"source": "ptbxl"}))
    assert "CC BY 4.0" not in model_card(evidence, MANIFEST)
