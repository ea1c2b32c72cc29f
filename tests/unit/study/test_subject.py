"""Arms that differ in what they train: encoder, weights, and how they see the records."""

from typing import Any

import pytest
from pydantic import ValidationError

from ablate.study.plan import plan
from ablate.study.problem import problems_of
from ablate.study.spec import Spec


def document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "s",
        "question": "q",
        "data": {"source": "synthetic", "task": "superdiagnostic", "n_records": 200},
        "encoder": {"name": "net1d_small", "weights": "random"},
        "fixed": {"ft_epochs": 2, "batch_size": 64},
        "space": {"ft_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        "arms": {"net1d": {}, "vit": {"encoder": "vit_small"}, "slow": {"fs_hz": 50}},
        "budget": {"search_trials": 2, "replicates": 2, "generation": 2},
        "margin": {"auroc": 0.005},
    } | changes


def test_what_an_arm_leaves_out_is_the_studys() -> None:
    spec = Spec.from_document(document())
    (context,) = spec.contexts()
    subjects = {arm: spec.subject(arm, context) for arm in spec.arms}
    assert [subject.encoder.name for subject in subjects.values()] == ["net1d_small", "vit_small", "net1d_small"]
    assert {subject.encoder.weights for subject in subjects.values()} == {"random"}
    assert [subject.view.fs_hz for subject in subjects.values()] == [100, 100, 50]
    assert subjects["net1d"].view == subjects["vit"].view
    assert Spec.from_document(spec.document()) == spec


def test_blocks_are_paired_over_encoders_and_views() -> None:
    slots = plan(Spec.from_document(document()))
    seeds = {(slot.phase, slot.index): set[int]() for slot in slots}
    for slot in slots:
        seeds[slot.phase, slot.index].add(slot.seed)
    assert all(len(together) == 1 for (phase, _), together in seeds.items() if phase == "confirm")


def test_a_study_whose_arms_train_the_same_is_written_as_before() -> None:
    plain = Spec.from_document(document(arms={"a": {}, "b": {"ft_lr": 1e-3}})).document()
    assert not {"subjects", "leads", "window_s"} & ({*plain} | {*plain["data"]})


def test_a_context_may_be_an_encoder() -> None:
    spec = Spec.from_document(document(arms={"a": {}}, context={"encoder": ["net1d_small", "vit_small"]}))
    names = [spec.subject("a", context).encoder.name for context in spec.contexts()]
    assert names == ["net1d_small", "vit_small"]


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"preprocessing": "filters"}, "preprocessing"),
        ({"leads": ["I", "II", "X"]}, "'X' is no lead"),
        ({"leads": ["I", "I"]}, "named twice"),
        ({"window_s": 20.0}, "window_s"),
        ({"fs_hz": 0}, "fs_hz"),
        ({"precision": "fp8"}, "precision"),
        ({"encodr": "vit_small"}, "encodr"),
    ],
)
def test_a_part_that_cannot_be_so_is_named_with_its_arm(arm: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Spec.from_document(document(arms={"a": {}, "odd": arm}))
    problems = problems_of(refused.value)
    assert any(said in f"{problem.key}: {problem.text}" for problem in problems)
    assert all("\n" not in problem.text for problem in problems)
    assert any("odd" in f"{problem.key} {problem.text}" for problem in problems)
