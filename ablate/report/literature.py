"""Published figures beside this study's, where task and encoder are the same, with what differs all the same.

Source: the benchmarks that ``literature.json`` names, macro AUROC on the test fold of PTB-XL, from their own tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from ablate.report import wording
from ablate.report.arm import ArmFacts
from ablate.report.markup import Column, items, paragraph, table
from ablate.report.section import Section
from ablate.report.study_record import StudyRecord
from ablate.report.subject import records_text

_SCORE = "test_auroc"


@dataclass(frozen=True)
class Beside:
    """A published model, and an arm with the same encoder where this study has one.

    Attributes:
        published: macro AUROC on the test fold.
        arm: with the context, in words; None where no arm has that encoder.
        measured: its mean; None before the test fold is open.
        differs: what the arm did otherwise.
    """

    model: str
    source: str
    published: float
    arm: str | None = None
    measured: float | None = None
    differs: str = ""


def literature_facts(study: StudyRecord, arms: ArmFacts) -> tuple[Beside, ...]:
    """Every published model of the study's task; none where no arm has an encoder of one of them."""
    data = study.spec.data
    if data.source != "ptbxl" or study.spec.routine is not None:
        return ()
    rows: list[Beside] = []
    for model in _literature()["models"]:
        if data.task in model["auroc"]:
            plain = Beside(model["model"], model["source"], model["auroc"][data.task])
            rows += _measured(study, arms, plain, model["encoders"]) or [plain]
    return tuple(rows) if any(row.arm for row in rows) else ()


def _measured(study: StudyRecord, arms: ArmFacts, plain: Beside, encoders: list[str]) -> list[Beside]:
    rows = []
    for context in study.contexts:
        for arm in study.arms:
            subject = study.spec.subject(arm, context.values)
            if subject.encoder is None or subject.encoder.name not in encoders:
                continue
            score = arms.score(arm, context, _SCORE).mean if _SCORE in arms.columns else None
            where = wording.context_text(context) if context.factors else ""
            share = (
                "" if context.data_fraction is not None else f"data fraction {study.spec.point(arm, 'data_fraction')}"
            )
            epochs = study.spec.ft_epochs(arm, context.values)
            length = "a searched number of epochs" if epochs is None else f"{epochs} epochs"
            parts = [
                ", ".join(filter(None, (where, share))),
                records_text(subject),
                str(subject.encoder.weights),
                length,
            ]
            differs = "; ".join(filter(None, parts))
            rows.append(replace(plain, arm=study.spec.title(arm), measured=wording.finite(score), differs=differs))
    return rows


def literature_section(study: StudyRecord, arms: ArmFacts) -> Section | None:
    """The published table of the task; None where none of its encoders is trained here."""
    rows = literature_facts(study, arms)
    if not rows:
        return None
    columns = [
        Column("model"),
        Column("published", wording.number, True),
        Column("by"),
        Column("arm here", lambda arm: arm or wording.NONE),
        Column("here", wording.number, True),
        Column("here with", str, long=True),
    ]
    cells = [(row.model, row.published, row.source, row.arm, row.measured, row.differs) for row in rows]
    sources = {row.source for row in rows}
    protocols = [
        f"{name} ({source['reference']}): {source['protocol']}."
        for name, source in _literature()["sources"].items()
        if name in sources
    ]
    note = paragraph(
        "Macro AUROC on the test fold. These are other people's trainings, not blocks of this study: no interval and "
        "no verdict joins the two columns.",
        class_="note",
    )
    shown = table(columns, cells, label="Published figures beside those measured here")
    return Section("literature", "Published figures beside these", (note, shown, items(*protocols)))


@cache
def _literature() -> Mapping[str, Any]:
    text = files("ablate.report").joinpath("literature.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document
