"""What a terminal shows while a study goes on, at the widths that people have."""

from datetime import UTC, datetime

import pytest
from planned_search import PLAIN_NUMBERS
from rich.console import Console
from sample_outcome import progress

from ablate.cli.progress import Standing, picture
from ablate.cli.wording import Wording
from ablate.store.slot import SlotState
from ablate.store.study import AgentRow, Counts
from ablate.study.file import load_spec
from ablate.study.plan import plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_cut_at_any_width(width: int) -> None:
    spec = load_spec(PLAIN_NUMBERS)
    slots = plan(spec)
    wording = Wording(spec, slots)
    agent = AgentRow(
        id="host-1-a", host="host", pid=1, device="cuda:0", facts={}, started_at=NOW, seen_at=NOW, ended_at=None,
        slot=slots[0].key, progress=progress(1, val_auroc=0.9876), silent_s=0, lease_left_s=60, n_done=0, n_recent=0,
    )  # fmt: skip
    place = "[stochastic depth] and preview linear probing and layer-wise learning rates, 10 % of the data"
    standing = Standing(
        counts=Counts({"search": {SlotState.LEASED: 1, SlotState.WAITING: 4}}),
        agents=[agent],
        wording=wording,
        best={place: 0.8765},
        left_s=300,
    )
    console = Console(width=width, record=True)
    console.print(picture("s", standing, width=width))
    lines = console.export_text().splitlines()
    shown = " ".join(" ".join(line.split()) for line in lines)
    assert all(len(line) <= width for line in lines)
    assert "…" not in shown
    assert {"0.9876", "0.8765", "learning", "[stochastic"} <= set(shown.split())
