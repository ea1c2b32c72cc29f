"""Page, terminal, LaTeX, CSV and JSON of one study say the same."""

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from ablate.cli.summary import show_summary
from ablate.report import wording
from ablate.report.context import Context
from ablate.report.document import ReportDocument, report_document
from ablate.report.evidence import Evidence, weigh
from ablate.report.page import write_report
from ablate.report.summary import summary
from ablate.stats.contrast import Contrast
from ablate.store.study_tables import StudyTables


@pytest.fixture(scope="module")
def out(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms")
    write_report(evidence, folder)
    return folder


@pytest.fixture(scope="module")
def document(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def rows_of(page: str, label: str) -> list[list[str]]:
    """Cells of a table of the page."""
    table = re.search(rf"<caption[^>]*>{label}</caption>(.*?)</table>", page, re.DOTALL)
    assert table is not None
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows[1:]]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in cells]


def shown(contrast: Contrast) -> tuple[str, str, str, str]:
    """Difference, interval, adjusted p and verdict as people read them."""
    interval = wording.interval(contrast.simultaneous_low, contrast.simultaneous_high, sign=True)
    p, verdict = wording.probability(contrast.p_adjusted), contrast.verdict.replace("_", " ")
    return wording.signed(contrast.difference), interval, p, verdict


def test_every_form_has_the_same_figures_and_verdicts(
    out: Path, document: dict, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (out / "index.html").read_text()
    table, csv = rows_of(page, "Contrasts"), pd.read_csv(out / "contrasts.csv").to_dict("records")
    tex = [line for line in (out / "contrasts.tex").read_text().splitlines() if line.endswith(r"\\")][1:]
    show_summary("study", summary(evidence))
    terminal = capsys.readouterr().out
    assert len(table) == len(csv) == len(tex) == len(document["contrasts"]) == len(evidence.contrasts) == 16
    for contrast, row, record, line, part in zip(
        evidence.contrasts, table, csv, tex, document["contrasts"], strict=True
    ):
        difference, interval, p, verdict = shown(contrast)
        assert row[:4] == [contrast.name, wording.share_text(Context.of(contrast.context)), row[2], verdict]
        assert (row[4], row[6], row[7]) == (difference, interval, p)
        for key in ("difference", "simultaneous_low", "simultaneous_high", "p_adjusted", "n_patients", "n_classes"):
            assert record[key] == pytest.approx(getattr(contrast, key), rel=1e-12)
            assert part[key] == pytest.approx(getattr(contrast, key), rel=1e-12)
        assert record["verdict"] == part["verdict"] == str(contrast.verdict)
        assert part["context"] == contrast.context
        plain = line.replace("$", "").replace("-", wording.MINUS)
        assert f"{difference} ({interval})" in plain
        assert line.endswith(rf" & {verdict} \\")
        assert f"{difference} (" in terminal
        assert interval in terminal


def test_page_terminal_and_json_have_the_same_sentences(
    out: Path, document: dict, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    page = html.unescape(re.sub(r"<[^>]+>", "", (out / "index.html").read_text().partition("<section")[0]))
    page = page.replace("\u00a0", " ")
    show_summary("study", summary(evidence))
    terminal = capsys.readouterr().out
    assert document["headline"] in page
    assert document["headline"] in terminal
    for verdict in document["verdicts"]:
        assert verdict["sentence"] in page
        assert verdict["sentence"] in terminal


def test_the_arms_are_the_same_in_csv_and_json(out: Path, document: dict) -> None:
    csv = pd.read_csv(out / "arms.csv").set_index(["arm", "context", "metric"])
    for part in document["arms"]:
        key = wording.context_key(Context.of(part["context"]))
        for column, score in part["scores"].items():
            record = csv.loc[(part["arm"], key, column)]
            expected = [record[name] for name in ("n", "mean", "sd")]
            assert [score[name] for name in ("n", "mean", "sd")] == pytest.approx(expected)
            assert (score["low"], score["high"]) == pytest.approx((record["ci_low"], record["ci_high"]))


@pytest.mark.parametrize("state", ["untouched", "going", "failed", "mixed", "searched"])
def test_a_study_in_any_state_has_a_document_of_the_same_form(state: str, request: pytest.FixtureRequest) -> None:
    tables: StudyTables = request.getfixturevalue(state)
    document = report_document(weigh(tables))
    text = document.model_dump_json()
    assert ReportDocument.model_validate_json(text) == document
    assert "NaN" not in text
