import pytest
from pydantic import ValidationError

from ablate.stats.declaration import Declaration
from ablate.study.inference import Inference, declaration

WEIGHTS = {
    "sd - ft": {"sd": 1.0, "ft": -1.0},
    "lp - ft": {"lp": 1.0, "ft": -1.0},
    "sd x lp": {"lp_sd": 1.0, "sd": -1.0, "lp": -1.0, "ft": 1.0},
}
MAIN = {"name": "main", "contrasts": ["sd - ft", "lp - ft"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"looks": [5, 10, 10]}, r"looks: \[5, 10, 10\] must increase"),
        ({"looks": [3, 10]}, "begins below 5"),
        ({"alpha": 0.0}, "greater than 0"),
        ({"alpha": 0.2}, "less than 0.2"),
        ({"families": [MAIN, {"name": "rest", "contrasts": ["sd x lp"], "behind": "mian"}]}, "did you mean 'main'"),
        ({"families": [{**MAIN, "behind": "main"}]}, "no family declared before it"),
        ({"families": [MAIN, {"name": "main", "contrasts": ["sd x lp"]}]}, "two are called 'main'"),
        ({"auprc": 0.0}, "auprc"),
        ({"auprc": 1.5}, "auprc"),
        ({"failures": "ignore"}, "'drop' or 'worst'"),
    ],
)
def test_what_cannot_be_declared(given: dict, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Inference.model_validate(given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"families": [MAIN, {"name": "rest", "contrasts": ["sd x lp", "lp - ft"]}]},
            "'lp - ft' is in two, main and rest",
        ),
        ({"families": [MAIN]}, "'sd x lp' is in none"),
        ({"families": [{"name": "main", "contrasts": ["sd - lp"]}]}, "no contrast 'sd - lp'; did you mean"),
        ({"looks": [5, 8]}, "ends at 8, but budget.replicates is 10"),
    ],
)
def test_what_does_not_fit_the_study(given: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Inference.model_validate(given).check_against(list(WEIGHTS), 10)


def declared(**given: object) -> Declaration:
    return declaration(
        Inference.model_validate(given),
        weights=WEIGHTS,
        context={"data_fraction": [0.1, 1.0]},
        arms=["ft", "sd", "lp", "lp_sd"],
        replicates=10,
        margins={"auroc": 0.005},
    )


def test_interactions_stand_behind_main_contrasts_and_contexts_in_their_order() -> None:
    usual = declared()
    assert [(of.name, of.contrasts, of.behind) for of in usual.families] == [
        ("main", ("sd - ft", "lp - ft"), None),
        ("interactions", ("sd x lp",), "main"),
    ]
    assert usual.contexts == ('{"data_fraction": 0.1}', '{"data_fraction": 1.0}')
    assert usual.looks == (10,)
    shares = usual.shares()
    assert shares[usual.contexts[0], "main"] == pytest.approx(0.035)
    assert shares[usual.contexts[1], "main"] == pytest.approx(0.015)
    assert shares[usual.contexts[0], "interactions"] == 0


def test_the_author_may_declare_otherwise() -> None:
    alone = {"name": "all", "contrasts": list(WEIGHTS)}
    own = declared(families=[alone], reserve=0.0, alpha=0.01, looks=[5, 10])
    assert [of.name for of in own.families] == ["all"]
    assert own.shares() == {(own.contexts[0], "all"): 0.01, (own.contexts[1], "all"): 0.0}
    assert own.looks == (5, 10)


def test_the_share_of_auprc_is_sealed_though_it_is_usual() -> None:
    usual = Inference(alpha=0.01)
    assert "auprc" not in usual.model_dump(mode="json")
    assert usual.sealed()["auprc"] == usual.auprc
    own = Inference(auprc=0.2)
    assert Inference.model_validate(own.model_dump(mode="json")) == own
    assert declared(auprc=0.2).auprc == 0.2
