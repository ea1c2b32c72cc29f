"""All that is wrong with a study file is said at once, with line and key, in our own words."""

from pathlib import Path

from planned_search import PLAIN_NUMBERS

from ablate.study.file import check_study

BAD = """question = 3

[data]
source = "synthetik"
task = "superdiagnostic"
n_records = 20

[encoder]
name = "net1d_small"
colour = "red"

[space]
drop_path_rate = { low = 0.0, high = 5.5 }
probe_epoch = 3

[arms.ft]
drop_path_rate = 0.0

[budgets]
replicates = 5

[[contrasts]]
name = "x"
arm = "nobody"
"""


def test_every_problem_has_its_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    problems = {problem.key: problem for problem in check_study(str(path))}
    lines = {key: problem.line for key, problem in problems.items()}
    assert lines == {
        "encoder.colour": 10, "budgets": 19, "question": 1, "data.source": 4, "data.n_records": 6,
        "space.drop_path_rate": 13, "space.probe_epoch": 14, "budget": 0, "contrasts.0": 22,
    }  # fmt: skip
    assert str(problems["question"]) == "question = 3: expected a text in quotes"
    assert str(problems["data.n_records"]) == "data.n_records = 20: expected at least 200"
    assert "did you mean 'budget'" in str(problems["budgets"])
    assert "input should" not in " ".join(map(str, problems.values())).lower()


def test_checks_that_need_the_whole_study_are_all_made(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    text = Path(PLAIN_NUMBERS).read_text()
    path.write_text(text.replace("search_trials = 4", "search_trials = 0").replace("replicates = 5", "replicates = 0"))
    keys = [problem.key for problem in check_study(str(path), overrides=["arms.ft.layer_decay=0.9"])]
    assert keys == ["arms.ft.layer_decay", "budget"]


def test_a_mistake_in_a_design_is_said_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "design.toml"
    text = Path(PLAIN_NUMBERS).read_text().partition("[arms.ft]")[0]
    path.write_text(f'{text}[design]\nkind = "factorail"\ncolour = 3\n[budget]\nreplicates = 5\n')
    said = [str(problem) for problem in check_study(str(path))]
    assert any(line.startswith("design.kind = 'factorail': expected ") for line in said)
    assert any(line.startswith("design.colour: unknown key") for line in said)
    assert any(line.startswith("design.components: is missing") for line in said)
