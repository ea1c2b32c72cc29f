"""benchmarks/peers: every variant fills the same slots with the same scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "benchmarks" / "peers" / "bench.py"
VARIANTS = ("a", "b", "bf", "c", "d", "e")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BENCH, *words], capture_output=True, text=True, timeout=540, check=False)


@pytest.mark.slow
def test_every_variant_fills_the_same_slots_with_the_same_scores() -> None:
    done = bench("--records", "300", "--slots", "4", "--epochs", "1", "--repeats", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["synthetic"]
    assert found["slots"]["n"] == 4
    assert set(found["ratios"]) == {f"{variant}_over_e" for variant in VARIANTS if variant != "e"}
    for variant in VARIANTS:
        assert found["largest_auroc_difference"][variant] <= 1e-4, variant
        use = found["variants"][variant]
        assert use["wall_s"] == pytest.approx(use["before_s"] + use["slots_s"], abs=0.05)
        assert use["cpu_s"] > 1
        assert use["peak_pss_mib"] > 100


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "a,x"], "no variant x"),
        (["--slots", "6"], "a multiple of 4"),
        (["--cohort", "ptbxl"], "needs --data DIR"),
        (["--gpu"], "no CUDA device"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], complaint: str) -> None:
    if "--gpu" in words:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device here")
    done = bench(*words)
    assert done.returncode == 2
    assert complaint in done.stderr
