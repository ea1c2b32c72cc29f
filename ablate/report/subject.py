"""Subjects: what each arm trains and how it sees the records, and what cannot be equal between such arms."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ablate.ecg.source import LEADS
from ablate.report import wording
from ablate.report.context import Context
from ablate.report.markup import Column, paragraph, table
from ablate.report.section import Section
from ablate.report.study_record import StudyRecord
from ablate.study.subject import Subject


@dataclass(frozen=True)
class ArmCost:
    """What one arm trains in one context, and what that takes.

    Attributes:
        updates: of the network and of the probe, the mean over trials; NaN before the first is done, and of a routine
            of the user's own.
        seconds: of a trial's training and evaluation on its machine, the mean likewise.
        n_trials: over which they are means.
    """

    arm: str
    context: Context
    subject: Subject
    updates: float
    seconds: float
    n_trials: int


def subject_facts(study: StudyRecord) -> tuple[ArmCost, ...]:
    """A row for each arm and context; of the confirmation, or of the search while there is none."""
    phase = "confirm" if len(study.finished("confirm")) else "search"
    updates, seconds = _updates(study), study.tables.seconds.groupby("slot_id")["seconds"].sum()
    return tuple(
        ArmCost(
            arm,
            context,
            study.spec.subject(arm, context.values),
            float(updates.reindex(rows.index).mean()),
            float(seconds.reindex(rows.index).mean()),
            len(rows),
        )
        for context, arm, rows in study.cells(study.finished(phase))
    )


def _updates(study: StudyRecord) -> pd.Series:
    params, scores = study.tables.params, study.tables.scores
    if study.spec.routine is not None or params.empty or "n_train" not in scores:
        return pd.Series(dtype=float)
    n_batches = -(-scores["n_train"].reindex(params.index) // params.get("batch_size", 256))
    return n_batches * (params.get("ft_epochs", 0) + params.get("probe_epochs", 0))


_NOTE = (
    "Arms differ here in what is trained or in how it sees the records. A block has the same patients, the same "
    "subset and the same order in every arm; an update and an epoch do not cost the same in all of them. Updates "
    "and time are means over trials, probe included."
)
_OWN_NOTE = (
    "Arms differ here in how they see the records. A block has the same patients and the same subset in every arm; "
    "time is the mean over trials."
)


def subject_section(study: StudyRecord) -> Section | None:
    """What differs between arms beside hyper-parameters; None where nothing does."""
    if len(study.spec.all_subjects()) < 2:
        return None
    facts = subject_facts(study)
    is_own = study.spec.routine is not None
    columns = [
        Column("arm"),
        *([Column("with", wording.context_text)] if len(study.contexts) > 1 else []),
        *([] if is_own else [Column("encoder"), Column("weights", str, long=True), Column("precision")]),
        Column("records", str, long=True),
        *([] if is_own else [Column("updates", wording.whole, True)]),
        Column("training", wording.hours, True),
    ]
    rows = [
        [
            study.spec.title(row.arm),
            *([row.context] if len(study.contexts) > 1 else []),
            *_encoder_cells(row.subject),
            records_text(row.subject),
            *([] if is_own else [row.updates]),
            row.seconds,
        ]
        for row in facts
    ]
    note = paragraph(_OWN_NOTE if is_own else _NOTE, class_="note")
    return Section("subjects", "What the arms train", (note, table(columns, rows, label="What each arm trains")))


def _encoder_cells(subject: Subject) -> list[str]:
    encoder = subject.encoder
    return [] if encoder is None else [encoder.name, str(encoder.weights), encoder.precision]


def records_text(subject: Subject) -> str:
    """Rate, preprocessing, leads and window in words."""
    data = subject.data
    parts = [f"{data.fs_hz} Hz", "unfiltered" if data.preprocessing == "none" else f"{data.preprocessing} filters"]
    parts += [] if data.leads == LEADS else [" ".join(data.leads)]
    parts += [] if data.window_s is None else [f"windows of {data.window_s:g} s"]
    return ", ".join(parts)


def subjects_by_slot(study: StudyRecord, slots: pd.DataFrame) -> Mapping[int, Subject]:
    """What each slot trains."""
    cells = {(arm, context): study.spec.subject(arm, context.values) for context, arm, _ in study.cells(slots)}
    return {
        int(slot_id): cells[arm, context]
        for slot_id, arm, context in zip(slots.index, slots["arm"], slots["context"], strict=True)
    }
