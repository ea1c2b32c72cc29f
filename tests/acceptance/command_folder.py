"""A folder in which ``ablate`` is called as a user calls it, with a small study of its own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
