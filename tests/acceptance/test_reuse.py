"""Reuse through real processes: what another study has trained is offered, taken on request, and shown."""

import csv
from pathlib import Path

import pytest
from command_folder import Workplace

DECIDED = ("val_", "test_", "param_", "best_epoch")


def trials(workplace: Workplace, study: str) -> dict[str, dict[str, str]]:
    workplace.ablate("report", "--study", study, "--out", f"out-{study}")
    with (workplace.folder / f"out-{study}" / "trials.csv").open() as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def decided(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name.startswith(DECIDED)}


@pytest.mark.slow  # one agent follows the same rules in tests/integration/worker/test_agent_reuse.py
def test_a_study_with_more_blocks_takes_what_the_smaller_one_has(workplace: Workplace) -> None:
    workplace.ablate("run", "--study", "small", "--workers", "2", "--quiet")
    text = workplace.study.read_text()
    for name, n_blocks in (("other", 3), ("third", 3)):
        path = workplace.study.with_name(f"{name}.toml")
        path.write_text(text.replace("replicates = 2", f"replicates = {n_blocks}"))

    plain = workplace.start("run", "--study", "other", "--workers", "2")
    out, err = plain.communicate(timeout=240)
    assert plain.returncode == 0, err
    assert "other: 8 of 10 slots are finished in small already; --reuse takes their results" in err
    assert "10 of 10 slots done; page:" in out

    third = workplace.start("run", "--study", "third", "--workers", "2", "--reuse", "--phase", "search")
    out, err = third.communicate(timeout=240)
    assert third.returncode == 0, err
    assert "already" not in err
    workplace.ablate("storage", "status")
    shown = workplace.ablate("run", "--study", "third", "--workers", "2", "--reuse")
    assert "10 of 10 slots done, 10 of them reused from other studies" in shown

    phases = {phase["phase"]: phase for phase in workplace.json("status", "--study", "third")["phases"]}
    assert (phases["search"]["reused"], phases["confirm"]["reused"]) == (4, 6)
    trained, taken = trials(workplace, "other"), trials(workplace, "third")
    assert {key: decided(row) for key, row in taken.items()} == {key: decided(row) for key, row in trained.items()}
    assert {row["reused_from"].partition(": ")[0] for row in taken.values()} == {"small", "other"}
    assert not any(row["reused_from"] for row in trained.values())

    page = Path(workplace.folder / "out-third" / "index.html").read_text()
    assert "10 were reused from other and small." in page
    assert "The test fold was opened 6 times, after the seal." in page
    contrasts = [(workplace.folder / f"out-{name}" / "contrasts.csv").read_text() for name in ("other", "third")]
    assert contrasts[0] == contrasts[1]
    assert contrasts[0].count("\n") > 1
