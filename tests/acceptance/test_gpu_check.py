"""benchmarks/gpu_check.py and gpu_bench.py on the processor: they are known to work before a GPU is there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def call(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / script, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)


def test_checks_answer_one_by_one_and_say_what_needs_a_gpu(tmp_path: Path) -> None:
    done = call("gpu_check.py", "--device", "cpu", "--only", "kernel", "waits", "--out", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    answers = {answer["name"]: answer for answer in json.loads((tmp_path / "out.json").read_text())["checks"]}
    assert answers["kernel"]["state"] == "passed"
    assert (answers["waits"]["state"], answers["waits"]["said"]) == ("not here", "waits of the host: needs a GPU")
    assert done.stdout.count("\n|") == len(answers) + 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_check_that_fails_is_one_line_and_exit_status_1() -> None:
    done = call("gpu_check.py", "--device", "cuda", "--only", "kernel")
    assert done.returncode == 1
    assert "kernel: failed" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_every_check_and_timing_runs_small_on_the_processor(tmp_path: Path) -> None:
    for script, key in (("gpu_check.py", "checks"), ("gpu_bench.py", "timings")):
        done = call(script, "--device", "cpu", "--out", str(tmp_path / script))
        assert done.returncode == 0, done.stdout + done.stderr
        answers = json.loads((tmp_path / script).read_text())[key]
        assert {answer["state"] for answer in answers} == {"passed", "not here"}
