"""The ledger across studies: who had looked at the same test labels before.

Every look at the same patients may find what is theirs alone. A study keeps its own error; that of several adds up.
"""

from collections.abc import Sequence

from ablate.report import wording
from ablate.report.study_record import StudyRecord
from ablate.store.study_tables import TestReader

_MOST_NAMES = 3


def earlier_readers(study: StudyRecord) -> tuple[TestReader, ...]:
    """Other studies of the store that had opened the same test labels before this one did."""
    readers = study.tables.readers
    own = next((one.first_read for one in readers if one.study == study.tables.name), None)
    return tuple(one for one in readers if own is not None and one.first_read < own)


def ledger_line(study: StudyRecord) -> str:
    """How many had looked before; empty before this study has looked itself."""
    if not any(one.study == study.tables.name for one in study.tables.readers):
        return ""
    earlier = earlier_readers(study)
    return f"before this one, {readers_text(earlier)} had looked at these test labels"


def readers_text(readers: Sequence[TestReader]) -> str:
    """``2 other studies of this store (a and b; 5 looks, 160 reads)``."""
    if not readers:
        return "no other study of this store"
    n_looks, n_reads = sum(one.n_looks for one in readers), sum(one.n_reads for one in readers)
    names = wording.listing([one.study for one in readers], most=_MOST_NAMES)
    studies = f"{wording.whole(len(readers))} other {'study' if len(readers) == 1 else 'studies'} of this store"
    looks = f"{wording.whole(n_looks)} {'look' if n_looks == 1 else 'looks'}"
    return f"{studies} ({names}; {looks}, {wording.whole(n_reads)} reads)"


def ledger_limit(study: StudyRecord) -> str:
    """What that means for the verdicts; empty where nobody had."""
    if not earlier_readers(study):
        return ""
    line = ledger_line(study)
    return (
        f"{line[:1].upper()}{line[1:]}: this study's verdicts keep their own error, that of all studies on the same "
        "patients adds up, and a recipe that was chosen by earlier test scores looks better here than it is. Studies "
        "that were deleted, or lie in other stores, are not counted."
    )
