"""The external test set: records of another collection, scored once after the seal, with contrasts of their own."""

from dataclasses import replace

import numpy as np

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence, weigh
from ablate.report.fold import FEW_POSITIVES
from ablate.report.markup import Column, markup, paragraph, table
from ablate.report.section import Section
from ablate.report.verdict import badge, simultaneous
from ablate.store.study_tables import StudyTables


def external_evidence(evidence: Evidence) -> Evidence | None:
    """The declared contrasts on the external records, judged by the rules of the study; None without such records."""
    tables = evidence.study.tables
    return None if tables.external is None else weigh(_as_test(tables), partial=evidence.partial)


def _as_test(tables: StudyTables) -> StudyTables:
    """The study as if the external records were its test fold."""
    read = tables.read_probabilities
    return replace(
        tables,
        test=tables.external,
        read_probabilities=lambda slot_id, split: read(slot_id, "external" if split == "test" else split),
    )


def external_section(evidence: Evidence) -> Section | None:
    """Scores and contrasts on the external records; None without any."""
    external = external_evidence(evidence)
    if external is None or not external.effects:
        return None
    return Section(
        "external",
        "External test set",
        (
            paragraph(_sentence(external)),
            table(_ARM_COLUMNS, _arm_rows(external), label="Arms on the external records"),
            table(_CONTRAST_COLUMNS, _contrast_rows(external), label="Contrasts on the external records"),
            paragraph(_NOTE, class_="note"),
        ),
    )


_NOTE = (
    "Nothing was learned, tuned or chosen on these records; each confirmed trial scored them once, after the seal. "
    "Their contrasts are judged by the rules that the study declares, as a question of its own: they change no verdict "
    "above, and the error that the study may make is not shared with them. A class without both outcomes here does not "
    "count."
)
_ARM_COLUMNS = (
    Column("arm"),
    Column("data", wording.share_text),
    Column("metric"),
    Column("score", wording.number, True),
    Column("95 % interval", number=True),
)
_CONTRAST_COLUMNS = (
    Column("contrast"),
    Column("data", wording.share_text),
    Column("metric"),
    Column("verdict", markup),
    Column("difference", wording.signed, True),
    Column("simultaneous 95 % interval", number=True),
    Column("p, adjusted", wording.probability, True),
    Column("patients", wording.whole, True),
    Column("classes", wording.whole, True),
)


def _arm_rows(external: Evidence) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for (context, arm, metric), effect in external.effects.items():
        scored = effect.on_logit_scale()
        interval = wording.interval(scored.ci_low, scored.ci_high)
        rows.append(
            (external.study.spec.title(arm), context, wording.METRIC_NAMES[metric], scored.difference, interval)
        )
    return rows


def _contrast_rows(external: Evidence) -> list[tuple[object, ...]]:
    return [
        (c.name, Context.of(c.context), wording.METRIC_NAMES[c.metric], badge(str(c.verdict)), c.difference,
         simultaneous(c), c.p_adjusted, c.n_patients, c.n_classes)
        for c in external.contrasts
    ]  # fmt: skip


def _sentence(external: Evidence) -> str:
    test = external.study.tables.test
    assert test is not None
    positives = np.count_nonzero(test.labels, axis=0)
    scored = [(name, int(n)) for name, n in zip(test.classes, positives, strict=True) if 0 < n < len(test.labels)]
    rare = [f"{name} ({n})" for name, n in scored if n < FEW_POSITIVES]
    few = f" Fewer than {FEW_POSITIVES} positives: {wording.listing(rare, most=6)}." if rare else ""
    declared = external.study.spec.data.external
    source = "" if declared is None else f" of {declared.source}"
    return (
        f"{wording.whole(len(test.labels))} records{source}, "
        f"{wording.whole(len(np.unique(test.patient_id)))} patients; "
        f"macro scores are means over {wording.whole(len(scored))} of the study's {len(test.classes)} classes.{few}"
    )
