"""The test fold: how many records, patients and classes stand behind every score."""

from dataclasses import dataclass

import numpy as np

from ablate.report import wording
from ablate.report.markup import Column, Html, details, table
from ablate.report.study_record import StudyRecord

FEW_POSITIVES = 10  # below that the score of a class says little about the class


@dataclass(frozen=True)
class ScoredClass:
    """One class of the task.

    Attributes:
        n_positive: test records that have it.
        is_scored: whether it counts in macro scores: it has records with and without it.
    """

    name: str
    n_positive: int
    is_scored: bool

    @property
    def is_rare(self) -> bool:
        """Scored from so few records that its score says little."""
        return self.is_scored and self.n_positive < FEW_POSITIVES


@dataclass(frozen=True)
class FoldFacts:
    """Sizes of the test fold."""

    n_records: int
    n_patients: int
    classes: tuple[ScoredClass, ...]

    @property
    def scored(self) -> tuple[ScoredClass, ...]:
        """Classes that count."""
        return tuple(one for one in self.classes if one.is_scored)

    @property
    def rare(self) -> tuple[ScoredClass, ...]:
        """Of these, the ones with few positives."""
        return tuple(one for one in self.classes if one.is_rare)


def fold_facts(study: StudyRecord) -> FoldFacts | None:
    """Sizes of the test fold; None before it was opened."""
    test = study.tables.test
    if test is None:
        return None
    positives = np.count_nonzero(test.labels, axis=0)
    n_records = len(test.labels)
    classes = tuple(
        ScoredClass(name, int(n), bool(0 < n < n_records)) for name, n in zip(test.classes, positives, strict=True)
    )
    return FoldFacts(n_records, len(np.unique(test.patient_id)), classes)


def fold_sentence(facts: FoldFacts) -> str:
    """What a macro score is a mean over, and which classes say little."""
    n_silent = len(facts.classes) - len(facts.scored)
    silent = f"; {n_silent} more lack an outcome there and do not count" if n_silent else ""
    size = (
        f"Macro scores are means over {wording.whole(len(facts.scored))} classes{silent}. The test fold holds "
        f"{wording.whole(facts.n_records)} records of {wording.whole(facts.n_patients)} patients."
    )
    if not facts.rare:
        return size
    names = wording.listing([f"{one.name} ({one.n_positive})" for one in facts.rare], most=6)
    return f"{size} Fewer than {FEW_POSITIVES} positives: {names}."


def class_table(facts: FoldFacts) -> Html:
    """Every class with its positives, the rare ones marked; opens on demand."""
    columns = [Column("class"), Column("test positives", wording.whole, True), Column("counts")]
    rows = [(one.name, one.n_positive, _counts(one)) for one in facts.classes]
    return details("Classes of the test fold", table(columns, rows, label="Classes of the test fold"))


def _counts(one: ScoredClass) -> str:
    return "yes, few positives" if one.is_rare else "yes" if one.is_scored else "no, one outcome only"
