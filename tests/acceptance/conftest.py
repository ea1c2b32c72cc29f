"""How many chaos plays there are, and the table of what struck them."""

from collections import Counter

import pytest


def pytest_addoption(parser):
    parser.addoption("--chaos-seeds", type=int, default=0, help="seeds of the long chaos plays; 0 is one short play")


def pytest_generate_tests(metafunc):
    if "chaos_seed" in metafunc.fixturenames:
        n_seeds = metafunc.config.getoption("--chaos-seeds", default=0)
        metafunc.parametrize("chaos_seed", range(max(1, n_seeds)))


@pytest.fixture(scope="session")
def is_long(request):
    """Whether the plays are those of ``make chaos``."""
    return request.config.getoption("--chaos-seeds", default=0) > 0


OUTCOMES = pytest.StashKey[list]()


@pytest.fixture
def record_outcome(request):
    """Keep an outcome for the table at the end."""
    return request.config.stash.setdefault(OUTCOMES, []).append


def pytest_terminal_summary(terminalreporter, config):
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
    write(f"{struck.total()} faults in {len(outcomes)} studies, {n_starts} starts of `ablate run`, {seconds:.0f} s")
    write(f"{n_good} of {len(outcomes)} studies ended as the undisturbed one, bit for bit")
