"""Real ``ablate`` processes on a small study of their own; options and table of the chaos plays."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from command_folder import SMALL_STUDY, Workplace

from ablate.store.postgres_server import Server


@pytest.fixture(scope="module")
def new_workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Workplace]]:
    """Makes workplaces that know the study ``small``; their servers end with the module."""
    made: list[Workplace] = []

    def make() -> Workplace:
        folder = tmp_path_factory.mktemp("workplace")
        (folder / "studies").mkdir()
        (folder / "studies" / "small.toml").write_text(SMALL_STUDY)
        made.append(Workplace(folder))
        return made[-1]

    yield make
    for workplace in made:
        Server(workplace.folder / "home" / "postgres").stop()


@pytest.fixture
def workplace(new_workplace: Callable[[], Workplace]) -> Workplace:
    return new_workplace()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seeds", type=int, default=0, help="seeds of the long chaos plays; 0 is one short play")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chaos_seed" in metafunc.fixturenames:
        n_seeds = metafunc.config.getoption("--chaos-seeds", default=0)
        metafunc.parametrize("chaos_seed", range(max(1, n_seeds)))


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether the plays are those of ``make chaos``."""
    return request.config.getoption("--chaos-seeds", default=0) > 0


OUTCOMES = pytest.StashKey[list]()


@pytest.fixture
def record_outcome(request: pytest.FixtureRequest) -> Callable[[Any], None]:
    """Keep an outcome for the table at the end."""
    return request.config.stash.setdefault(OUTCOMES, []).append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of faults and outcomes, as it stands in the README."""
    outcomes = config.stash.get(OUTCOMES, [])
    if not outcomes:
        return
    struck = sum((outcome.faults for outcome in outcomes), Counter())
    write = terminalreporter.write_line
    write("")
    write("| fault | times |")
    write("|---|---|")
    for name, times in struck.most_common():
        write(f"| {name} | {times} |")
    n_good = sum(not outcome.flaws for outcome in outcomes)
    n_starts = sum(outcome.n_launches for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    stages = Counter(outcome.stage.value for outcome in outcomes)
    write(", ".join(f"{n} on {stage}" for stage, n in stages.items()))
    write(f"{struck.total()} faults in {len(outcomes)} studies, {n_starts} starts of `ablate run`, {seconds:.0f} s")
    write(f"{n_good} of {len(outcomes)} studies ended as the undisturbed one, bit for bit")
