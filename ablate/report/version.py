"""Versions: digests of data, weights, code and environment, and whether they stayed the same."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablate import digest
from ablate.report import wording
from ablate.report.markup import Column, Html, details, markup, paragraph, table, tag
from ablate.report.section import Section
from ablate.report.study_record import StudyRecord
from ablate.report.subject import subjects_by_slot

DIGESTS = ("data", "encoder", "routine", "code", "environment")


MACHINE = ("device", "precision")  # may differ; shown, since scores need not be the same to the last bit then


@dataclass(frozen=True)
class DigestFacts:
    """Versions of data, weights, code and environment among the finished slots."""

    versions: Mapping[tuple[str, str], Mapping[str, int]]  # (phase, kind) -> digest -> slots
    mixed: tuple[str, ...]  # one line for each kind that differs within a phase


def digest_facts(study: StudyRecord) -> DigestFacts:
    """Digests of finished slots by phase, and what differs among slots that stand in one table."""
    versions: dict[tuple[str, str], dict[str, int]] = {}
    mixed = []
    for phase in ("search", "confirm"):
        done = study.finished(phase, with_stopped=True)
        digests = study.tables.digests.reindex(done.index)
        for kind in (name for name in DIGESTS if name in digests):
            counts = {
                _digest_text(v): int(n) for v, n in digests[kind].dropna().value_counts(sort=False).sort_index().items()
            }
            versions[phase, kind] = counts
            lines = _differing(_decisive(digests[kind].dropna().astype(str)), done, study, kind)
            mixed += [f"{phase}: {kind} differs among the slots of one table: {line}" for line in lines]
    return DigestFacts(versions, tuple(mixed))


def _decisive(values: pd.Series) -> pd.Series:
    """Of code, the sources that decide scores: two commits with the same ones are no mixture."""
    return values.str.replace(r"^.* (?=sources [0-9a-f]+$)", "", regex=True)


def _differing(values: pd.Series, done: pd.DataFrame, study: StudyRecord, kind: str) -> list[str]:
    """Versions beside one another among slots that should have the same.

    Slots that start from random weights have no encoder to agree on with the others, nor do those of arms that train
    another one; records that are seen otherwise have another digest.
    """
    starts = study.tables.params["init"] if "init" in study.tables.params else pd.Series(dtype=object)
    starts = starts.reindex(values.index).fillna("pretrained")
    subjects = subjects_by_slot(study, done)
    shares = {"data": lambda subject: repr(subject.data), "encoder": lambda subject: repr(subject.encoder)}
    groups = pd.Series(
        [(start, shares.get(kind, lambda _: "")(subjects[int(slot)])) for slot, start in starts.items()],
        index=values.index,
        dtype=object,
    )
    parts = [values[groups == group] for group in sorted(set(groups))]
    return [_beside(part, done) for part in parts if part.nunique() > 1]


def _beside(values: pd.Series, done: pd.DataFrame) -> str:
    shown = []
    for value in sorted(set(values)):
        keys = [str(key) for key in done["key"].reindex(values.index[values == value])]
        shown.append(f"{_digest_text(value)} in {wording.listing(keys, most=2)}")
    return "; ".join(shown)


def _digest_text(value: Any) -> str:
    """A digest cut to what people read; what follows it, such as a mark of changed files, is kept."""
    return _DIGEST.sub(lambda match: match[0][: digest.SHORT], str(value))


_DIGEST = re.compile("[0-9a-f]{32,}")


def digest_section(study: StudyRecord) -> Section:
    """What exactly was used, and whether it stayed the same."""
    facts = digest_facts(study)
    warnings = [paragraph("Mixed: ", line, class_="warning") for line in facts.mixed]
    phases = [phase for phase in ("search", "confirm") if any(key[0] == phase for key in facts.versions)]
    columns = [Column("version of"), *(Column(phase, markup) for phase in phases)]
    absent = "routine" if study.spec.routine is None else "encoder"
    kinds = [kind for kind in DIGESTS if kind != absent]
    rows = [[kind, *(_versions(facts.versions.get((phase, kind), {})) for phase in phases)] for kind in kinds]
    rows += [[kind, *(_versions(_count(study, phase, kind)) for phase in phases)] for kind in MACHINE]
    spec = paragraph(
        "Study file ",
        tag("code", study.tables.spec_digest[: digest.SHORT]),
        f", registered {wording.moment(study.tables.created_at)}.",
    )
    shown = table(columns, rows, label="Digests") if facts.versions else paragraph("No finished slot yet.")
    content = json.dumps(study.tables.spec, indent=2, sort_keys=False, ensure_ascii=False, default=str)
    return Section(
        "digests", "Digests", (*warnings, spec, shown, details("The study file as stored", tag("pre", content)))
    )


def _count(study: StudyRecord, phase: str, column: str) -> dict[str, int]:
    """Finished slots of a phase by a column of their results."""
    done = study.finished(phase, with_stopped=True)
    return {str(v): int(n) for v, n in done[column].value_counts().sort_index().items()} if column in done else {}


def _versions(counts: Mapping[str, int]) -> Html:
    """Each version with how many slots have it."""
    lines = [
        Html(tag("code", text) + tag("span", f" {wording.whole(n)} slots", class_="note")) for text, n in counts.items()
    ]
    return Html(tag("br").join(lines)) if lines else Html(wording.NONE)
