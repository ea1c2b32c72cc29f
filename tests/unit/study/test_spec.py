"""Study files: what is accepted, and the one line that each mistake gets."""

from pathlib import Path

import pytest
from planned_search import PLAIN_NUMBERS

from ablate.errors import SpecError
from ablate.study.file import load_spec
from ablate.study.spec import Spec

SHIPPED = sorted(path.stem for path in Path("studies").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_study_loads(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name
    assert spec.question.endswith("?")
    assert load_spec(name).digest() == spec.digest()


def test_a_path_is_as_good_as_a_name(tmp_path: Path) -> None:
    copy = tmp_path / "mine.toml"
    copy.write_text(Path(PLAIN_NUMBERS).read_text())
    assert load_spec(str(copy)).name == "mine"
    assert load_spec(str(copy)).arms == load_spec(PLAIN_NUMBERS).arms


def test_an_override_makes_another_study_with_a_name_of_its_own() -> None:
    plain, changed = load_spec("sd_vs_lp"), load_spec("sd_vs_lp", overrides=["budget.replicates=3"])
    assert changed.budget.replicates == 3
    assert changed.name.startswith("sd_vs_lp@")
    assert changed.digest() != plain.digest()
    assert load_spec("sd_vs_lp", overrides=["budget.replicates=3"]).name == changed.name


def test_a_key_that_says_nothing_new_leaves_the_digest() -> None:
    plain = load_spec("sd_vs_lp")
    assert "skip_damaged" not in plain.document()["data"]
    said = load_spec("sd_vs_lp", overrides=["data.skip_damaged=false"])
    assert said.model_copy(update={"name": plain.name}).digest() == plain.digest()
    skipping = load_spec("sd_vs_lp", overrides=["data.skip_damaged=true"])
    assert Spec.from_document(skipping.document()).data.skip_damaged


def test_prose_may_be_mended_without_making_another_study() -> None:
    changed = load_spec("sd_vs_lp", overrides=["question='Is it?'"])
    assert changed.model_copy(update={"name": "sd_vs_lp"}).digest() == load_spec("sd_vs_lp").digest()


def test_the_paper_that_a_study_is_set_beside_decides_no_result() -> None:
    asking = load_spec("paper_v1")
    assert asking.claims == "arxiv-2509.12991"
    assert asking.model_copy(update={"claims": None}).digest() == asking.digest()


def test_arms_and_components_have_titles_that_decide_nothing(tmp_path: Path) -> None:
    spec = load_spec("sd_vs_lp")
    assert spec.title("lp") == "+ preview linear probing"
    assert Spec.from_document(spec.document()) == spec
    assert spec.model_copy(update={"titles": {}}).digest() == spec.digest()
    assert spec.model_copy(update={"titles": {}}).title("lp") == "lp"
    text = Path(PLAIN_NUMBERS).read_text().partition("[arms.ft]")[0]
    design = """
        [design]
        kind = "add_one_in"
        components.sd = { title = "stochastic depth", off = { drop_path_rate = 0 }, on = { drop_path_rate = 0.2 } }
        components.fast = { off = { head_lr_ratio = 1 }, on = { head_lr_ratio = 10 } }
        [budget]
        replicates = 5
    """
    (tmp_path / "made.toml").write_text(text + design)
    made = load_spec(str(tmp_path / "made.toml"))
    assert [made.title(arm) for arm in made.arms] == [
        "baseline", "+ stochastic depth", "+ fast", "+ stochastic depth + fast",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("budget.replicats=3", ["budget.replicats", "unknown key", "'replicates'"]),
        ("surprise=1", ["surprise", "unknown key"]),
        ("encoder.wieghts='random'", ["encoder.wieghts", "unknown key", "'weights'"]),
        ("encoder.precision='fp8'", ["encoder.precision", "'fp8'", "bf16"]),
        ("budget.replicates='ten'", ["budget.replicates", "'ten'", "whole number"]),
        ("arms.ft.title=3", ["arms.ft.title", "3", "a few words"]),
        ("arms.ft.ft_lr=0.5", ["arms.ft.ft_lr", "0.5", "outside the space"]),
        ("arms.ft.layer_decay=0.9", ["arms.ft.layer_decay", "not in [space]"]),
        ("space.drop_path_rate.high=1.5", ["space.drop_path_rate", "1.5", "outside"]),
        ("space.ft_lr.low=1", ["space.ft_lr", "low 1 is above high"]),
        ("space.ft_lr={low=0, high=1, log=true}", ["space.ft_lr", "above 0"]),
        ("space={}", ["space", "empty"]),
        ("arms={}", ["arms", "none"]),
        ("data.task='heart'", ["data.task", "'heart'", "superdiagnostic"]),
        ("context.data_fraction=[2.0]", ["context.data_fraction", "2.0"]),
        ("context.data_fraction=[]", ["context.data_fraction", "one or more"]),
        ("fixed.ft_lr=1e-3", ["fixed.ft_lr", "[space]"]),
        ("fixed.magic=1", ["fixed.magic", "no hyper-parameter"]),
        ("budget={search_trials=0, replicates=0}", ["budget", "nothing to do"]),
        ("contrasts=[{name='x', arm='sd', baseline='nobody'}]", ["contrasts.x", "'nobody'"]),
        ("contrasts=[{name='x', combination={sd=1.0, ft=1.0}}]", ["sum to 0"]),
        ("space.data_fraction={low=0.1, high=1.0}", ["data_fraction", "[context]"]),
        ("search.sampler='tppe'", ["search.sampler", "'tppe'", "did you mean 'tpe'"]),
        (
            "search.sampler={name='gp', deterministic=true}",
            ["search.sampler", "did you mean 'deterministic_objective'"],
        ),
        ("search.start=[{params={ft_lr=0.5}}]", ["search.start.0.params.ft_lr", "0.5", "arm ft"]),
        ("search.start=[{params={drop_path_rate=0.01}}]", ["search.start.0.params.drop_path_rate", "arm sd", "arms"]),
        ("search.start=[{params={ft_rl=0.5}}]", ["search.start.0.params.ft_rl", "did you mean 'ft_lr'"]),
        ("search.start=[{params={ft_lr=1e-3}, arms=['dropped']}]", ["search.start.0.arms", "'dropped'"]),
        ("search.start=[{params={probe_epochs=9}, arms=['ft']}]", ["search.start.0.params.probe_epochs", "arm ft"]),
    ],
)
def test_a_mistake_gets_one_line_with_file_key_and_value(override: str, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("sd_vs_lp", overrides=[override])
    message = str(caught.value)
    assert message.startswith("studies/sd_vs_lp.toml")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_more_starts_than_trials_are_refused() -> None:
    starts = "search.start=[{params={ft_lr=1e-3}}, {params={ft_lr=2e-3}}]"
    with pytest.raises(SpecError, match=r"search\.start: 2 for arm ft, but search_trials = 1"):
        load_spec("sd_vs_lp", overrides=[starts, "budget.search_trials=1"])


def test_the_usual_sampler_leaves_the_digest_as_it_was_and_another_changes_it() -> None:
    plain = load_spec("sd_vs_lp")
    assert plain.document()["search"] == {"sampler": "posterior"}
    other = load_spec("sd_vs_lp", overrides=["search.sampler={name='gp'}", "search.start=[{params={ft_lr=1e-3}}]"])
    assert other.document()["search"] == {"sampler": "gp", "start": [{"params": {"ft_lr": 1e-3}, "arms": None}]}
    assert Spec.from_document(other.document()) == other


def test_data_fraction_is_covered_but_never_maximised_over() -> None:
    with pytest.raises(SpecError, match="not maximised over"):
        load_spec("search", overrides=["search.sampler='tpe'"])


def test_the_share_of_validation_records_is_one_for_all_arms() -> None:
    assert load_spec("sd_vs_lp", overrides=["fixed.val_fraction='as data_fraction'"]).fixed["val_fraction"].point
    with pytest.raises(SpecError, match=r"space.val_fraction: .* give one value in \[fixed\]"):
        load_spec("sd_vs_lp", overrides=["space.val_fraction={choices=['all', 'as data_fraction']}"])
    with pytest.raises(SpecError, match=r"val_fraction.*as data_fraction"):
        load_spec("sd_vs_lp", overrides=["fixed.val_fraction=0.5"])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"question = ", "is not TOML"), (b"\xff\xfe", "is not TOML"), (b"question = 'Why?'\n", "is missing; add it")],
)
def test_a_file_that_is_no_study(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(str(path))
    assert str(path) in str(caught.value)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match="did you mean 'sd_vs_lp'"):
        load_spec("sd_vs_pl")


def test_a_fixed_param_has_one_value() -> None:
    """A range there would be neither searched nor trained with."""
    with pytest.raises(SpecError, match=r"fixed\.ft_epochs: has several values"):
        load_spec("sd_vs_lp", overrides=["fixed.ft_epochs={low=5, high=10}"])
