"""What reading all records of a source shows that no record shows alone, and how damage is told."""

from collections import defaultdict
from collections.abc import Mapping

from ablate.ecg.collection import Collection
from ablate.ecg.finding import Finding
from ablate.ecg.joint import Joint
from ablate.ecg.row_filler import ReadRecords
from ablate.ecg.source import Source


def source_findings(source: Source) -> tuple[Finding, ...]:
    """What is wrong with the list of a collection; other sources say it when they are asked for their records."""
    return source.findings if isinstance(source, Collection) else ()


def damage_findings(read: ReadRecords) -> list[Finding]:
    """A finding for each record that was not read; those that are left out by a declared rule are no error."""
    return [
        Finding(read.kinds[ecg_id], f"record {ecg_id}: {text}", is_fatal=ecg_id not in read.by_rule)
        for ecg_id, text in sorted(read.skipped.items())
    ]


def across_findings(source: Source, read: ReadRecords, fold: Mapping[int, int]) -> list[Finding]:
    """Rates that differ though nothing is declared of them, and records with the same samples."""
    if not isinstance(source, Collection | Joint):
        return []
    findings = []
    if isinstance(source, Collection) and len(read.rates) > 1 and source.form.rates_hz is None:
        counted = ", ".join(f"{n} of {rate} Hz" for rate, n in sorted(read.rates.items()))
        findings.append(
            Finding(
                "mixed rates",
                f"{source.folder}: records are {counted}; to resample all of them write "
                f"data.form.rates_hz = {sorted(read.rates)}",
            )
        )
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    for ecg_id, content in read.digests.items():
        same[content].append(ecg_id)
    for records in same.values():
        if len(records) > 1:
            is_fatal = len({fold[each] for each in records}) > 1
            remedy = "keep one of them" if is_fatal else "are they one recording?"
            listed = ", ".join(map(str, sorted(records)[:5]))
            findings.append(
                Finding("duplicate", f"{source.name}: records {listed} have the same samples; {remedy}", is_fatal)
            )
    return findings
