"""Study files that `ablate init` writes can be run, whatever is asked for."""

from itertools import combinations
from pathlib import Path

import pytest

from ablate.ecg.record_table import Columns
from ablate.errors import OptionError
from ablate.study.file import check_study, load_spec
from ablate.study.template import BUDGETS, PARTS, SOURCES, Records, template

USUAL = {
    "question": 'Is "all of it" \\ worth it?', "records": Records("synthetic"), "encoder": "net1d_small",
    "weights": "synthetic", "parts": ["stochastic_depth"], "budget": "small", "context": False,
}  # fmt: skip


@pytest.mark.parametrize("parts", [parts for n in range(1, 5) for parts in combinations(PARTS, n)])
def test_every_choice_of_components_is_a_study(tmp_path: Path, parts: tuple[str, ...]) -> None:
    path = tmp_path / "made.toml"
    path.write_text(template(**{**USUAL, "parts": parts}))
    assert check_study(str(path)) == []
    spec = load_spec(str(path))
    assert len(spec.arms) == (2 ** len(parts) if len(parts) > 1 else 2)
    assert spec.question == USUAL["question"]


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_every_budget_and_source_is_a_study(tmp_path: Path, budget: str, source: str) -> None:
    path = tmp_path / "made.toml"
    path.write_text(template(**{**USUAL, "budget": budget, "records": Records(source), "context": True}))
    assert load_spec(str(path)).context == {"data_fraction": (0.1, 1.0)}


def test_own_records_are_said_as_the_options_said_them(tmp_path: Path) -> None:
    path = tmp_path / "made.toml"
    own = Records(
        "table",
        table='a "b".csv',
        path="file",
        labels=["AF", "LBBB"],
        patient="",
        rate_hz=250,
        unit="uV",
        mapping="m.csv",
    )
    path.write_text(template(**{**USUAL, "records": own}))
    data = load_spec(str(path)).data
    assert (data.table, data.mapping, data.form.rates_hz, data.form.unit) == ('a "b".csv', "m.csv", 250, "uV")
    assert data.columns == Columns(path="file", labels=("AF", "LBBB"), one_record_each=True)


def test_a_question_of_several_lines_is_one(tmp_path: Path) -> None:
    path = tmp_path / "made.toml"
    path.write_text(template(**{**USUAL, "question": "Is it\nworth it?"}))
    assert load_spec(str(path)).question == "Is it worth it?"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"parts": ["drop"]}, "--component drop"), ({"parts": []}, "one to 4"), ({"budget": "huge"}, "--budget huge")],
)
def test_what_there_is_not_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        template(**{**USUAL, **change})
