"""Whatever is killed: the study ends with exactly the planned slots, each filled once, equal to an undisturbed one.

``make chaos`` plays twenty seeds of a study of about 40 slots with thirty faults each; else one small study is played.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos.play import LONG, SHORT, play, undisturbed
from chaos.scene import Results, Scale

pytestmark = pytest.mark.whole_machine


@pytest.fixture(scope="session")
def scale(is_long: bool) -> Scale:
    return LONG if is_long else SHORT


@pytest.fixture(scope="session")
def stage() -> Iterator[Path]:
    """A folder that another user may enter: the managed Postgres does not serve as root."""
    with tempfile.TemporaryDirectory(prefix="ablate-chaos-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def expected(stage: Path, scale: Scale) -> Results:
    """What every play must end with."""
    return undisturbed(stage / "undisturbed", scale)


def test_study_ends_as_if_nothing_had_happened(
    stage: Path, chaos_seed: int, scale: Scale, expected: Results, record_outcome: Callable[[Any], None]
) -> None:
    outcome = play(stage / f"seed-{chaos_seed}", scale, seed=chaos_seed, expected=expected)
    record_outcome(outcome)
    assert outcome.flaws == []
    assert outcome.faults.total() > 0
    assert len(expected) >= scale.least_slots
