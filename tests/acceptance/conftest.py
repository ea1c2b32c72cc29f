"""Real ``ablate`` processes on a small study of their own; options and table of the chaos plays."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ablate.store.postgres_server import Server

SMALL_STUDY = """
question = "Does a probe before fine-tuning help?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 240, seed = 3}
encoder = {name = "net1d_small", weights = "random"}
fixed = {ft_epochs = 1, batch_size = 32}
context = {data_fraction = [0.5]}
budget = {search_trials = 2, replicates = 2, generation = 1}
[space]
probe_epochs = {low = 0, high = 4}
ft_lr = {low = 1e-4, high = 3e-3, log = true}
[arms.ft]
probe_epochs = 0
[arms.lp]
probe_epochs = {low = 2, high = 4}
"""


@dataclass(frozen=True)
class Workplace:
    """A folder in which ``ablate`` is called, with a home and a managed Postgres of its own."""

    folder: Path

    @property
    def study(self) -> Path:
        return self.folder / "studies" / "small.toml"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ABLATE_")}
        return {**kept, "ABLATE_HOME": str(self.folder / "home"), "COLUMNS": "160", "OMP_NUM_THREADS": "1"}

    def start(self, *words: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ablate", *words], cwd=self.folder, env={**self.environment, **changes}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def ablate(self, *words: str, status: int = 0, **changes: str) -> str:
        """Standard output of one command that must exit with ``status``; standard error where it must fail."""
        process = self.start(*words, **changes)
        out, err = process.communicate(timeout=240)
        assert process.returncode == status, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out if status == 0 else err

    def json(self, *words: str) -> Any:
        return json.loads(self.ablate(*words, "--json"))

    def interrupt(self, process: subprocess.Popen[str]) -> None:
        os.kill(process.pid, signal.SIGINT)


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
