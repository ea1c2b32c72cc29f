"""What the page says of results that were taken from other studies."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from simulated_study import Simulator

from ablate.report.evidence import weigh
from ablate.report.page import write_report
from ablate.report.study_record import StudyRecord
from ablate.report.version import digest_facts
from ablate.store.study_tables import StudyTables

REUSED = {
    "confirm/ft/data_fraction=0.1/0": "before: confirm/ft/data_fraction=0.1/0",
    "confirm/lp/data_fraction=0.1/0": "before: confirm/lp/data_fraction=0.1/0",
    "search/ft/data_fraction=0.1/0": "long_ago: search/ft/data_fraction=0.1/0",
}


def simulated(reused: dict[str, str] | None = None) -> StudyTables:
    return Simulator(n_records=80, n_classes=4, search_trials=2, replicates=2, fractions=(0.1,), reused=reused).tables()


def test_the_page_and_the_file_say_what_was_taken_and_from_where(tmp_path: Path) -> None:
    tables = simulated(REUSED)
    assert StudyRecord.of(tables).sources == {"before": 2, "long_ago": 1}
    page = write_report(weigh(tables), tmp_path).page.read_text()
    assert "3 were reused from before and long_ago." in page
    assert "2 slots were not trained: study before had trained the same params" in page
    trials = pd.read_csv(tmp_path / "trials.csv").set_index("key")
    assert trials["reused_from"].dropna().to_dict() == REUSED


def test_without_reuse_nothing_is_said(tmp_path: Path) -> None:
    tables = simulated()
    assert StudyRecord.of(tables).sources == {}
    assert "reused" not in write_report(weigh(tables), tmp_path).page.read_text().partition("</header>")[0]


@pytest.mark.parametrize(
    ("sources", "n_mixed"), [(("aaaaaaaaaaaa", "aaaaaaaaaaaa"), 0), (("aaaaaaaaaaaa", "bbbbbbbbbbbb"), 1)]
)
def test_commits_with_the_same_sources_are_no_mixture(sources: tuple[str, str], n_mixed: int) -> None:
    """A result may be taken from a study that was made before a commit that decides no score."""
    tables = simulated()
    codes = [f"0123456789ab sources {sources[0]}", f"ba9876543210+dirty sources {sources[1]}"]
    confirm = tables.slots.loc[tables.slots["phase"] == "confirm", "slot_id"]
    digests = tables.digests.copy()
    digests.loc[confirm, "code"] = [codes[k % 2] for k in range(len(confirm))]
    mixed = digest_facts(StudyRecord.of(replace(tables, digests=digests))).mixed
    assert len(mixed) == n_mixed
