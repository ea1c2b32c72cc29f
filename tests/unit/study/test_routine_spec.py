"""A study with a routine of its author's own: what it declares, what it refuses, and what makes it another study."""

from pathlib import Path

import pytest

from ablate.errors import SpecError
from ablate.study.file import check_study, load_spec
from ablate.study.plan import plan
from ablate.study.search import propose, start_values
from ablate.study.spec import Spec

STUDY = """question = "Which depth?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 200}
[routine]
entry = "ENTRY"
params.depth = {low = 1, high = 9, int = true, default = 3}
params.batch_size = {low = 1, high = 64, int = true, log = true, default = 8}
params.ft_epochs = {low = 0, high = 4, int = true, default = 0}
params.kind = {choices = ["tree", "net"], default = "net"}
[fixed]
ft_epochs = 0
[space]
depth = {low = 2, high = 8}
kind = {choices = ["tree", "net"]}
[arms.tree]
kind = "tree"
[arms.net]
[context]
data_fraction = [0.1, 1.0]
[budget]
search_trials = 4
replicates = 5
"""


def written(folder: Path, text: str = STUDY, code: str = "import beside\n\ndef train(p, r, s): ...\n") -> Path:
    (folder / "mine.py").write_text(code)
    (folder / "beside.py").write_text("x = 1\n")
    (folder / "own.toml").write_text(text.replace("ENTRY", f"{folder / 'mine.py'}:train"))
    return folder / "own.toml"


def test_declared_hyper_parameters_take_the_place_of_the_built_in_ones(tmp_path: Path) -> None:
    spec = load_spec(str(written(tmp_path)))
    slot = next(slot for slot in plan(spec) if slot.arm == "net")
    params = propose(spec, slot, ())
    assert params == {"ft_epochs": 0, **slot.context, "depth": 3, "kind": "net"}
    assert spec.hyper_parameters.complete(params) == {**params, "batch_size": 8}
    assert start_values(spec.hyper_parameters, spec.arm_space("tree"))["kind"] == "tree"
    assert spec.encoder is None


def test_the_stored_study_is_read_without_its_code_and_keeps_its_digest(tmp_path: Path) -> None:
    spec = load_spec(str(written(tmp_path)))
    (tmp_path / "mine.py").unlink()
    again = Spec.from_document(spec.document())
    assert again == spec
    assert again.digest() == spec.digest()


def test_edited_code_is_another_study(tmp_path: Path) -> None:
    before = load_spec(str(written(tmp_path))).digest()
    assert load_spec(str(written(tmp_path))).digest() == before
    path = written(tmp_path)
    (tmp_path / "beside.py").write_text("x = 2\n")
    assert load_spec(str(path)).digest() != before


def test_a_design_switches_declared_hyper_parameters(tmp_path: Path) -> None:
    arms = STUDY.partition("[arms.tree]")[0] + "[budget]\nreplicates = 5\n[design]\nkind = 'factorial'\n"
    good = arms + "components.tree = {off = {kind = 'net'}, on = {kind = 'tree'}}\n"
    assert set(load_spec(str(written(tmp_path, good))).arms) == {"baseline", "tree"}
    bad = arms + "components.tree = {off = {ft_lr = 1e-3}, on = {ft_lr = 1e-2}}\n"
    with pytest.raises(SpecError, match="ft_lr is no hyper-parameter"):
        load_spec(str(written(tmp_path, bad)))
    with pytest.raises(SpecError, match=r"routine\.entry: .* there is no file"):
        load_spec(str(written(tmp_path, good.replace("ENTRY", "none.py:train"))))


def test_what_belongs_to_post_training_is_refused_all_at_once(tmp_path: Path) -> None:
    text = STUDY.replace("[fixed]", '[encoder]\nname = "net1d_small"\n[search]\nearly_stopping = true\n[fixed]')
    text = text.replace("[arms.net]\n", '[arms.net]\nweights = "random"\n').replace(
        "n_records = 200", "n_records = 200, window_s = 5"
    )
    problems = [str(problem) for problem in check_study(str(written(tmp_path, text)))]
    for key in ("encoder", "data.window_s", "search.early_stopping", "arms.net.weights"):
        assert f"{key}: belongs to post-training; a routine of your own has none, remove it" in problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("ENTRY", "mine:train"), "there is no package mine of Python files here"),
        (("ENTRY", "mine"), "expected FILE.py:FUNCTION or package.module:function"),
        (("ENTRY", "none.py:train"), "there is no file none.py"),
        (("high = 9, int = true, default = 3", "high = 9, int = true, default = 3.5"), "default 3.5 is outside its"),
        (("high = 9, int = true, default = 3", "high = 9, int = true"), "expected a domain with a default"),
        (("low = 1, high = 9, int", "low = 9, high = 1, int"), "low 9 is above high 1"),
        (("low = 1, high = 9, int = true", "low = 1, high = 9, int = 2"), "int must be true or false"),
        (("params.depth", "params.data_fraction"), "has a meaning of its own in every study"),
        (("depth = {low = 2", "deep = {low = 2"), "deep is no hyper-parameter; did you mean 'depth'?"),
        (("depth = {low = 2, high = 8}", "depth = {low = 2, high = 11}"), "11 is outside what depth may be"),
        (("ft_epochs = 0", "ft_lr = 1e-3"), "ft_lr is no hyper-parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_declaration_is_one_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in STUDY
    problems = [str(problem) for problem in check_study(str(written(tmp_path, STUDY.replace(*change))))]
    assert any(said in problem for problem in problems), problems
    assert not any("\n" in problem for problem in problems)
