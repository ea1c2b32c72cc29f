"""Who had looked at the same test labels before, over all studies of a real store."""

import pytest
from growing_study import LABELS, LOOKS, begin, fill, labels_artifact, spec

from ablate.cli.plan import looked_before
from ablate.report.document import report_document
from ablate.report.evidence import weigh
from ablate.report.ledger import ledger_limit, ledger_line
from ablate.report.study_record import StudyRecord
from ablate.report.summary import summary
from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.study.confirmation import advance
from ablate.study.spec import Spec


@pytest.fixture
def agent() -> AgentCard:
    return AgentCard(id="a", host="h", pid=1)


def finish(store: Store, study: Spec, agent: AgentCard) -> None:
    fill(store, study, agent)
    while advance(store, study).name == "GREW":
        fill(store, study, agent)


def test_a_study_says_how_many_had_looked_at_its_test_labels_before(store: Store, agent: AgentCard) -> None:
    """Three looks of one study count as three, and labels with an external set beside them are the same labels."""
    growing, fixed, last = spec(), spec("fixed", replicates=5, looks=[]), spec("last", replicates=5, looks=[])
    begin(store, growing)
    finish(store, growing, agent)
    first = StudyRecord.of(store.tables("growing"))
    assert ledger_line(first) == "before this one, no other study of this store had looked at these test labels"
    assert ledger_limit(first) == ""
    begin(store, fixed, labels=labels_artifact(external=True))
    finish(store, fixed, agent)
    begin(store, last)
    before = StudyRecord.of(store.tables("last"))
    assert ledger_line(before) == ""  # it has not looked yet
    finish(store, last, agent)
    n_reads = len(store.slots("growing")) + len(store.slots("fixed"))
    evidence = weigh(store.tables("last"))
    line = (
        "before this one, 2 other studies of this store "
        f"(growing and fixed; 4 looks, {n_reads} reads) had looked at these test labels"
    )
    assert summary(evidence).ledger == line
    assert line[1:] in ledger_limit(evidence.study)
    part = report_document(evidence).looked_before
    assert part is not None
    assert (part.studies, part.n_looks, part.n_reads) == (["growing", "fixed"], len(LOOKS) + 1, n_reads)
    assert ledger_line(StudyRecord.of(store.tables("growing"))) == ledger_line(first)  # later ones change nothing


def test_other_labels_are_another_matter(store: Store, agent: AgentCard) -> None:
    other, study = spec("other", replicates=5, looks=[]), spec("mine", replicates=5, looks=[])
    moved = LABELS.copy()
    moved[0] = ~moved[0]
    begin(store, other, labels=labels_artifact(moved))
    fill(store, other, agent)
    begin(store, study)
    fill(store, study, agent)
    assert "no other study" in ledger_line(StudyRecord.of(store.tables("mine")))


def test_a_damaged_fold_of_another_study_hides_no_report(store: Store, agent: AgentCard) -> None:
    begin(store, spec("damaged", replicates=5, looks=[]), labels=b"no such file")
    fill(store, spec("damaged", replicates=5, looks=[]), agent)
    begin(store, spec("mine", replicates=5, looks=[]))
    fill(store, spec("mine", replicates=5, looks=[]), agent)
    assert "no other study" in ledger_line(StudyRecord.of(store.tables("mine")))


def test_a_plan_on_labels_that_were_looked_at_is_warned(store: Store, agent: AgentCard) -> None:
    earlier = spec("earlier", replicates=5, looks=[])
    assert looked_before(earlier, store) == []
    begin(store, earlier)
    fill(store, earlier, agent)
    n_reads = len(store.slots("earlier"))
    planned = spec("planned", replicates=5, looks=[])
    expected = (
        f"1 other study of this store (earlier; 1 look, {n_reads} reads) looked at these test labels already; "
        "the errors of all of them add up"
    )
    assert looked_before(planned, store) == [expected]
    filtered = planned.model_copy(update={"data": planned.data.model_copy(update={"preprocessing": "ecgfounder"})})
    assert looked_before(filtered, store) == [expected]  # signals are not what is counted
    elsewhere = planned.model_copy(update={"data": planned.data.model_copy(update={"seed": 2})})
    assert looked_before(elsewhere, store) == []
    assert looked_before(earlier, store) == []  # its own looks are its own
