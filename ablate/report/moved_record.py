"""Records that an arm moved most: their ECGs on paper, with the probabilities of both arms beside them."""

from dataclasses import dataclass

import numpy as np

from ablate.ecg.ecg_plot import plot_facts, plot_figure
from ablate.ecg.source import Records, Source
from ablate.errors import DataError
from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.markup import paragraph
from ablate.report.section import Picture, Section
from ablate.report.study_record import StudyRecord, arm_and_baseline
from ablate.stats.contrast import Contrast
from ablate.store.slot import SlotState

_EACH_WAY = 2  # records that gained most, and as many that lost most
_HEIGHT, _INK = 420, "#1a1a1a"


@dataclass(frozen=True)
class MovedRecord:
    """A test record that has a class, and the mean probability over blocks that each arm gives it."""

    ecg_id: int
    class_name: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """By how much the class became more probable."""
        return self.after - self.before


@dataclass(frozen=True)
class MovedFacts:
    """Records of one contrast, the largest gain first."""

    arm: str
    baseline: str
    context: Context
    n_blocks: int
    records: tuple[MovedRecord, ...]


def moved_facts(evidence: Evidence) -> MovedFacts | None:
    """Records with a class of theirs that moved most between two arms; None without a pair that has an answer."""
    study, contrast = evidence.study, _contrast(evidence)
    if contrast is None or study.tables.test is None:
        return None
    context = Context.of(contrast.context)
    pair = arm_and_baseline(next(one for one in study.contrasts if one.name == contrast.name))
    assert pair is not None
    test = study.tables.test
    slots = [_slots(study, arm, context) for arm in pair]
    blocks = sorted(set(slots[0]) & set(slots[1]))
    if not blocks:  # an answer may rest on failed replicates alone, where the study counts them
        return None
    after, before = (
        np.mean([study.tables.probabilities(of_arm[block]) for block in blocks], axis=0) for of_arm in slots
    )
    places = np.argwhere(test.labels)
    gains = (after - before)[test.labels]
    chosen: dict[int, tuple[int, int]] = {}  # by record: each once, with the class that moved most
    for order in (np.argsort(-gains, kind="stable"), np.argsort(gains, kind="stable")):
        wanted = len(chosen) + _EACH_WAY
        for place in order:
            row, column = (int(value) for value in places[place])
            if len(chosen) < wanted:
                chosen.setdefault(row, (row, column))
    records = [
        MovedRecord(int(test.ecg_id[r]), test.classes[c], float(before[r, c]), float(after[r, c]))
        for r, c in chosen.values()
    ]
    ordered = tuple(sorted(records, key=lambda record: (-record.gain, record.ecg_id)))
    return MovedFacts(*pair, context, len(blocks), ordered)


def _contrast(evidence: Evidence) -> Contrast | None:
    """The first pair of arms that is decided, else the first that has an answer."""
    pairs = {c.name for c in evidence.study.contrasts if arm_and_baseline(c) is not None}
    answered = [c for c in evidence.contrasts if c.name in pairs and c.metric == "auroc"]
    return next((c for c in answered if c.is_decided), next(iter(answered), None))


def _slots(study: StudyRecord, arm: str, context: Context) -> dict[int, int]:
    """Done replicates of an arm, by block."""
    rows = study.phase("confirm")
    rows = rows[(rows["arm"] == arm) & (rows["context"] == context) & (rows["state"] == SlotState.DONE)]
    return {int(row["index"]): int(row["slot_id"]) for _, row in rows.iterrows()}


def moved_section(evidence: Evidence, source: Source | None) -> Section | None:
    """The records' ECGs; None where the records are not on this machine, or nothing has an answer."""
    facts = moved_facts(evidence) if source is not None else None
    if source is None or facts is None:
        return None
    title = evidence.study.spec.title
    where = wording.with_context(facts.context)
    note = (
        f"The {_EACH_WAY} test records whose own class became most probable by {title(facts.arm)} beyond "
        f"{title(facts.baseline)}, and the {_EACH_WAY} whose class lost most{where}; means over "
        f"{facts.n_blocks} blocks. They were picked for being extreme: they show what kind of record "
        "moves, not how often."
    )
    fs_hz = evidence.study.spec.data.fs_hz
    try:
        records = source.records()
        pictures = [_picture(facts, one, source, records, fs_hz=fs_hz, k=k) for k, one in enumerate(facts.records)]
    except DataError as error:
        pictures = []
        note = f"They cannot be drawn: {error}"
    return Section("records", "Records that moved most", (paragraph(note, class_="note"), *pictures))


def _picture(facts: MovedFacts, one: MovedRecord, source: Source, records: Records, *, fs_hz: int, k: int) -> Picture:
    paper = plot_facts(source, records, ecg_id=one.ecg_id, fs_hz=fs_hz)
    drawn = plot_figure(paper)
    drawn.update_annotations(font={"color": _INK})
    drawn.update_layout(title=None, width=None, height=_HEIGHT, margin={"l": 8, "r": 8, "t": 8, "b": 8})
    drawn.update_yaxes(constraintoward="top")  # a narrow screen leaves its room below
    drawn.update_layout(paper_bgcolor="rgba(0,0,0,0)", template="none")
    moved = f"{one.class_name}: {facts.baseline} {one.before:.2f}, {facts.arm} {one.after:.2f}"
    alt = f"Twelve leads of record {one.ecg_id}; probability of {moved}."
    title = f"Record {one.ecg_id}, probability of {moved}"
    return Picture(f"record-{k}", title, alt, drawn, note=paper.title, wide=True)
