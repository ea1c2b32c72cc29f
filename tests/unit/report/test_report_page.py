import base64
import gzip
import hashlib
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from simulated_study import SMALL, Simulator

from ablate.report.evidence import Evidence, weigh
from ablate.report.export import CONTRAST_COLUMNS, IMPORTANCE_COLUMNS
from ablate.report.page import write_report
from ablate.store.study_tables import StudyTables

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
FILES = {"arms", "contrasts", "importance", "interactions", "rungs", "trials"}


@pytest.fixture(scope="module")
def out(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(evidence, folder)
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "index.html").read_text()


def own(page: str) -> str:
    """The page without plotly's own code."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_every_part_of_the_answer_is_there(page: str) -> None:
    titles = [html.unescape(title) for title in re.findall(r"<h2 id[^>]*>(.*?)</h2>", own(page))]
    assert titles == [
        "Contrasts in full",
        "Arms",
        "How far the data goes",
        "What matters in the search",
        "The search",
        "Learning curves",
        "Differences by class",
        "The paper’s claims beside these results",
        "Seal and test fold",
        "Budget and hours",
        "Deviations from the plan",
        "Digests",
        "Every trial",
    ]
    first = own(page).partition("<section")[0]
    assert "lp beats ft" in first
    assert 'id="forest-auroc"' in first


def test_equal_tables_give_equal_bytes(finished: StudyTables, out: Path, tmp_path: Path) -> None:
    write_report(weigh(finished), tmp_path)
    written = sorted(path.name for path in out.iterdir())
    assert written == sorted(path.name for path in tmp_path.iterdir())
    for name in written:
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!#)[^"']+""", own(page))
    assert "url(" not in own(page)
    assert "default-src 'none'" in html.unescape(page)


def test_the_policy_admits_only_the_scripts_of_the_page(page: str) -> None:
    (packed,) = re.findall(r'<script type="application/gzip" id="plotly">(.*?)</script>', page)
    library = gzip.decompress(base64.b64decode(packed)).decode()
    assert "Plotly" in library
    scripts = [library, *re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall(r"sha256-([^']+)'", html.unescape(page[:4000])) == digests
    assert len(digests) == 2


def test_every_figure_has_words_and_a_source_of_its_own(page: str) -> None:
    figures = re.findall(r'<div class="plot" id="([^"]+)" role="img" aria-label="([^"]+)"', page)
    sources = re.findall(r'<script type="application/json" data-plot="([^"]+)">(.*?)</script>', page, flags=re.DOTALL)
    assert [name for name, _ in figures] == [name for name, _ in sources]
    assert len(figures) == len({name for name, _ in figures}) > 20
    assert all(len(alt) > 20 for _, alt in figures)
    assert all(json.loads(text)["data"] for _, text in sources)


def test_ids_are_unique_and_links_lead_somewhere(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', own(page))
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', own(page))) <= set(ids)


def test_names_and_messages_cannot_become_code(tmp_path: Path) -> None:
    """Whatever a study file may hold; names of arms have letters, digits and a few signs only."""
    contrasts = [{"name": HOSTILE, "arm": "lp", "baseline": "ft"}]
    prose = {"name": HOSTILE, "question": HOSTILE, "notes": HOSTILE, "contrasts": contrasts}
    tables = Simulator(**SMALL, **prose, failed=("confirm/lp/data_fraction=0.1/3",)).tables()
    slots = tables.slots.assign(reason=HOSTILE)
    files = write_report(weigh(replace(tables, slots=slots), partial=True), tmp_path)
    page = files.page.read_text()
    assert "<script>alert" not in page
    assert "<img" not in own(page)
    assert html.escape(HOSTILE) in page
    assert r"\textless{}/script\textgreater{}" in files.tex.read_text()


@pytest.mark.parametrize("state", ["untouched", "searching", "going", "failed", "mixed", "searched"])
def test_a_study_in_any_state_has_a_page(state: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    files = write_report(weigh(request.getfixturevalue(state)), tmp_path)
    page = own(files.page.read_text())
    told = {
        "untouched": "0 of 72 trials are done",
        "searching": "Not sealed yet",
        "going": "the verdict waits for all of them",
        "failed": "confirm/lp/data_fraction=0.1/3",
        "mixed": "Refused: confirm: code differs",
        "searched": "is moved most by",
    }
    assert told[state] in page
    assert ">nan<" not in page


def test_a_search_leads_with_what_matters(searched: StudyTables, tmp_path: Path) -> None:
    page = own(write_report(weigh(searched), tmp_path).page.read_text())
    assert re.findall(r'<section id="(\w+)"', page)[:2] == ["importance", "interactions"]
    importance = pd.read_csv(tmp_path / "importance.csv")
    assert tuple(importance.columns) == IMPORTANCE_COLUMNS
    assert "all" in set(importance["context"])


def test_a_table_of_mixed_digests_is_refused(mixed: StudyTables, tmp_path: Path) -> None:
    write_report(weigh(mixed), tmp_path)
    assert pd.read_csv(tmp_path / "arms.csv").empty
    assert pd.read_csv(tmp_path / "contrasts.csv").empty
    write_report(weigh(mixed, partial=True), tmp_path)
    assert len(pd.read_csv(tmp_path / "contrasts.csv")) == 16


def test_tables_hold_every_number(out: Path, finished: StudyTables) -> None:
    contrasts = pd.read_csv(out / "contrasts.csv")
    assert tuple(contrasts.columns) == CONTRAST_COLUMNS
    assert len(contrasts) == 16
    assert set(contrasts["context"]) == {"data_fraction=0.1", "data_fraction=1"}
    assert contrasts["difference"].between(contrasts["ci_low"], contrasts["ci_high"]).all()
    trials = pd.read_csv(out / "trials.csv")
    assert len(trials) == len(finished.slots)
    assert trials["state"].eq("done").all()
    arms = pd.read_csv(out / "arms.csv")
    assert len(arms) == 4 * 2 * 4
    assert arms["n"].eq(5).all()


def test_parquet_holds_the_same_as_csv(out: Path) -> None:
    assert {path.stem for path in out.glob("*.csv")} == {path.stem for path in out.glob("*.parquet")} == FILES
    for name in FILES:
        csv, parquet = pd.read_csv(out / f"{name}.csv"), pd.read_parquet(out / f"{name}.parquet")
        assert list(csv.columns) == list(parquet.columns)
        assert len(csv) == len(parquet)
    contrasts = pd.read_parquet(out / "contrasts.parquet")
    assert contrasts["difference"].tolist() == pd.read_csv(out / "contrasts.csv")["difference"].tolist()


def test_latex_is_a_booktabs_table(out: Path) -> None:
    text = (out / "contrasts.tex").read_text()
    assert text.count(r" \\") == 1 + 16
    assert r"lp\_sd - ft & 10 \% of the data & AUROC & 5 & $" in text
    assert [line for line in text.splitlines() if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]


def test_a_page_that_cannot_be_made_leaves_the_old_one(untouched: StudyTables, tmp_path: Path) -> None:
    target = tmp_path / "report"
    write_report(weigh(untouched), target)
    before = (target / "index.html").read_bytes()
    broken = replace(untouched, attempts=untouched.attempts.drop(columns="ended_at"))
    with pytest.raises(KeyError):
        write_report(weigh(broken), target)
    assert (target / "index.html").read_bytes() == before
    assert not [path for path in target.iterdir() if path.name.startswith(".")]
