"""The page: one offline file that answers the question, with every number beside it as CSV, parquet, LaTeX and JSON."""

import base64
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
from plotly.offline import get_plotlyjs

from ablate import __version__, atomic
from ablate.ecg.source import Source
from ablate.report import export, wording
from ablate.report.arm import arm_facts, arm_section
from ablate.report.budget import budget_section
from ablate.report.caveat import caveats
from ablate.report.class_difference import class_section
from ablate.report.contrast import contrast_section
from ablate.report.curve import curve_section
from ablate.report.deviation import deviation_section
from ablate.report.document import report_document
from ablate.report.dropped import dropped_notes
from ablate.report.early_stopping import rung_facts, rung_frame
from ablate.report.efficiency import efficiency_section
from ablate.report.evidence import Evidence
from ablate.report.external import external_section
from ablate.report.fold import class_table, fold_facts, fold_sentence
from ablate.report.forest import forest_pictures
from ablate.report.importance import (
    ImportanceFacts,
    importance_facts,
    importance_section,
    importance_sentences,
    leading,
)
from ablate.report.interaction import interaction_section
from ablate.report.landscape import search_section
from ablate.report.literature import literature_section
from ablate.report.markup import Html, details, items, markup, paragraph, tag
from ablate.report.moved_record import moved_section
from ablate.report.paper_claim import claim_section
from ablate.report.path import path_section
from ablate.report.pdf import browser, print_page
from ablate.report.seal import reach_line, seal_limits, seal_section
from ablate.report.section import Section, parts, render
from ablate.report.study_record import StudyRecord
from ablate.report.subject import subject_section
from ablate.report.summary import standing_notes
from ablate.report.trial import trial_facts, trial_section
from ablate.report.verdict import headline, verdict_facts, verdict_list
from ablate.report.version import digest_section
from ablate.store.slot import SlotState


@dataclass(frozen=True)
class ReportFiles:
    """Where the report lies; ``tables`` are CSV files, each with a parquet file beside it."""

    page: Path
    tables: tuple[Path, ...]
    tex: Path
    pdf: Path | None


def write_report(evidence: Evidence, out: Path, *, pdf: bool = False, source: Source | None = None) -> ReportFiles:
    """Write page and tables into ``out``; equal evidence gives equal bytes.

    Args:
        evidence: what ``weigh`` made of the study.
        out: the folder.
        source: of the study's records, where they are on this machine: a few are drawn then.
        pdf: print the page too, with a Chromium that is installed.

    Raises:
        DataError: ``out`` cannot be written.
        LaunchError: ``pdf`` without a browser.
    """
    if pdf:
        browser()  # before any work
    study, importances = evidence.study, importance_facts(evidence.study)
    page = out / "index.html"
    atomic.write_text(page, page_html(evidence, importances, source))
    written = export.write_frames(out, _frames(evidence, importances))
    document = report_document(evidence).model_dump_json(indent=2)
    atomic.write_text(out / "report.json", document + "\n")
    atomic.write_text(out / "contrasts.tex", export.tex(evidence, study=study.tables.name))
    return ReportFiles(page, tuple(written.values()), out / "contrasts.tex", _printed(study, page) if pdf else None)


def _printed(study: StudyRecord, page: Path) -> Path:
    target = page.with_name("report.pdf")
    print_page(page, target, stamped=study.tables.created_at)
    return target


def _frames(evidence: Evidence, importances: tuple[ImportanceFacts, ...]) -> dict[str, pd.DataFrame]:
    study = evidence.study
    return {
        "trials": trial_facts(study).frame,
        "arms": export.arm_frame(None if evidence.refuses_tables else arm_facts(study, evidence)),
        "importance": export.importance_frame(importances),
        "interactions": export.interaction_frame(importances),
        "contrasts": export.contrast_frame(evidence),
        "rungs": rung_frame(rung_facts(study)),
    }


def page_html(evidence: Evidence, importances: tuple[ImportanceFacts, ...], source: Source | None = None) -> str:
    """The whole page as text."""
    sections = page_sections(evidence, importances, source)
    main = tag(
        "main",
        _header(evidence, importances),
        [render(section) for section in sections],
        _footer(evidence.study),
        id="main",
    )
    frame_ = tag("div", _contents(sections), main, class_="frame")
    # Compressed, plotly takes a third of its room; page.js unpacks it, and the policy below knows its text.
    scripts = [
        tag("script", Html(_packed(get_plotlyjs())), type="application/gzip", id="plotly"),
        tag("script", Html(_asset("page.js"))),
    ]
    body = tag("body", tag("a", "To the answer", href="#main", class_="skip"), frame_, scripts)
    return f"<!DOCTYPE html>\n{tag('html', _head(evidence.study), body, lang='en')}\n"


def page_sections(
    evidence: Evidence, importances: tuple[ImportanceFacts, ...], source: Source | None = None
) -> list[Section]:
    """All sections; a study without contrasts leads with importances."""
    study = evidence.study
    facts = None if evidence.refuses_tables else arm_facts(study, evidence)
    answers = [
        contrast_section(evidence),
        arm_section(study, facts) if facts else _refused(evidence),
        subject_section(study),
        efficiency_section(facts) if facts else None,
        path_section(study, facts) if facts else None,
        external_section(evidence) if facts else None,
    ]
    matters = [importance_section(importances), interaction_section(importances)]
    leads = [*answers, *matters] if study.contrasts else [*matters, *answers]
    rest = [
        search_section(study, leading=leading(importances)),
        curve_section(study),
        class_section(study),
        moved_section(evidence, source) if facts else None,
        claim_section(study, facts) if facts else None,
        literature_section(study, facts) if facts else None,
        seal_section(study),
        budget_section(study),
        deviation_section(study),
        digest_section(study),
        trial_section(study),
    ]
    return [section for section in [*leads, *rest] if section is not None]


def _refused(evidence: Evidence) -> Section:
    lines = [paragraph("Refused: ", line, class_="warning") for line in evidence.mixed]
    remedy = paragraph(
        "Scores of different data, weights, code or machines are not set side by side; "
        "--partial shows them all the same."
    )
    return Section("arms", "Arms", (*lines, remedy))


def _header(evidence: Evidence, importances: tuple[ImportanceFacts, ...]) -> Html:
    spec = evidence.study.spec
    kicker = paragraph(tag("b", evidence.study.tables.name), " · an ablation study", class_="kicker")
    return tag(
        "header",
        kicker,
        tag("h1", spec.question),
        _answer(evidence, importances),
        paragraph(_standing(evidence), class_="standing"),
        _limits(evidence.study),
    )


def _answer(evidence: Evidence, importances: tuple[ImportanceFacts, ...]) -> Html:
    """Verdicts and forests; what matters most, for a study that compares no arms."""
    warnings = [paragraph(line, class_="warning") for line in evidence.mixed]
    if not evidence.study.contrasts:
        return Html(markup(warnings) + items(*importance_sentences(importances)))
    verdicts = verdict_facts(evidence)
    said = paragraph(headline(evidence.study, verdicts), class_="headline")
    reach = reach_line(evidence.study)
    link = tag("a", "how far this reaches", href="#reach")
    said = Html(said + (paragraph(reach, ": ", link, class_="standing") if reach else ""))
    return Html(markup(warnings) + said + verdict_list(verdicts) + parts(forest_pictures(evidence)))


def _limits(study: StudyRecord) -> Html:
    """How far the answer reaches: sizes of the test fold, the seal, encoder and data."""
    fold = fold_facts(study)
    lines = [fold_sentence(fold)] if fold else []
    limits = items(*lines, *seal_limits(study), *caveats(study.spec), class_="limits")
    return tag(
        "div",
        tag("h2", "How far this reaches"),
        limits,
        class_table(fold) if fold else None,
        class_="reach",
        id="reach",
    )


def _standing(evidence: Evidence) -> str:
    """How far the study is, in a few sentences."""
    study = evidence.study
    n_done = int((study.slots["state"] == SlotState.DONE).sum())
    parts = [f"{wording.whole(n_done)} of {wording.whole(len(study.slots))} trials are done."]
    n_stopped = int(study.slots["stopped_epoch"].notna().sum())
    if n_stopped:
        parts.append(f"{wording.whole(n_stopped)} search trials were stopped early.")
    if taken := study.sources:
        parts.append(f"{wording.whole(sum(taken.values()))} were reused from {wording.listing(list(taken))}.")
    parts += [f"{note[:1].upper()}{note[1:]}." for note in standing_notes(study)]
    if study.seal is None and study.contrasts:
        parts.append("Not sealed yet; the test fold is closed.")
    if len(study.tables.test_reads):
        parts.append(f"The test fold was opened {wording.whole(len(study.tables.test_reads))} times, after the seal.")
    if evidence.partial and (evidence.mixed or standing_notes(study)):
        parts.append("Partial: verdicts rest on the complete blocks there are.")
    parts += [f"{note[:1].upper()}{note[1:]}." for note in dropped_notes(evidence)]
    return " ".join(parts)


def _contents(sections: Sequence[Section]) -> Html:
    links = [tag("li", tag("a", section.title, href=f"#{section.name}")) for section in sections]
    inner = tag("nav", tag("ol", tag("li", tag("a", "Answer", href="#main")), links), aria_label="Contents")
    return details("Contents", inner, class_="contents")


def _footer(study: StudyRecord) -> Html:
    credit = wording.credit(study.spec.data.source)
    registered = wording.moment(study.tables.created_at)
    text = f"Made by ablate {__version__} from study {study.tables.name}, registered {registered}.{credit} "
    return tag(
        "footer",
        text,
        "The numbers lie beside this page as CSV, parquet, LaTeX and JSON. This page loads nothing from anywhere.",
    )


def _head(study: StudyRecord) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{study.tables.name}: {study.spec.question}"),
        tag("style", Html(_asset("page.css"))),
    )


@cache
def _policy() -> str:
    """Nothing from the network, and no script but the two that stand in the page."""
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in (get_plotlyjs(), _asset("page.js")))
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return files("ablate.report").joinpath(name).read_text(encoding="utf-8")
