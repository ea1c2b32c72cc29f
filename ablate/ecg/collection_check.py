"""A check before any work: all is read, and all that is wrong is said at once. Then there is a cohort, or nothing."""

from dataclasses import dataclass
from pathlib import Path

from ablate.ecg.collection import Collection
from ablate.ecg.finding import DataFindings, Finding
from ablate.ecg.preparation import prepare
from ablate.ecg.reading_check import across_findings, damage_findings
from ablate.ecg.row_filler import Filler, Preparation, Progress, fill_all
from ablate.errors import DataError


@dataclass(frozen=True)
class CollectionCheck:
    """What a check came to.

    Attributes:
        findings: all of them, fatal ones first.
        folder: of the prepared cohort; None where something fatal stands in the way.
        n_records: that the list has.
    """

    findings: tuple[Finding, ...]
    folder: Path | None
    n_records: int


def check_collection(
    source: Collection, *, fs_hz: int, preprocessing: str, n_processes: int, skip_damaged: bool = False,
    progress: Progress | None = None,
) -> CollectionCheck:  # fmt: skip
    """Read every record of ``source``; prepare a cohort where nothing fatal was found.

    Args:
        source: the records.
        fs_hz: of the cohort.
        preprocessing: of the cohort.
        n_processes: how many read.
        skip_damaged: leave damaged records out of the cohort instead of refusing them.
        progress: called with the number of records done and in all.
    """
    try:
        listed = source.findings
    except DataError as error:  # no table at all, so that nothing can be read
        return CollectionCheck((Finding(error.kind, str(error)),), None, 0)
    n_records = len(source.readable)
    if any(each.is_fatal for each in listed):
        how = Preparation(fs_hz, preprocessing, "collect")
        return CollectionCheck(_ordered([*listed, *_read(source, how, n_processes, progress)]), None, n_records)
    try:
        folder = prepare(
            source, fs_hz=fs_hz, preprocessing=preprocessing, n_processes=n_processes, progress=progress,
            damaged="skip" if skip_damaged else "collect",
        )  # fmt: skip
    except DataFindings as error:
        return CollectionCheck(_ordered([*listed, *error.findings]), None, n_records)
    return CollectionCheck(tuple(listed), folder, n_records)


def _read(source: Collection, how: Preparation, n_processes: int, progress: Progress | None) -> list[Finding]:
    """What reading shows where no cohort can come of it."""
    folds = source.folds()
    filler = Filler(None, source, how)
    read = fill_all(filler, list(source.readable), n_processes=n_processes, progress=progress)
    return [*damage_findings(read), *across_findings(source, read, folds)]


def _ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda each: not each.is_fatal))
