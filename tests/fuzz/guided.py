"""Files damaged under the guidance of coverage: each input that reaches new lines of ours becomes a seed of others.

    pip install atheris
    python tests/fuzz/guided.py header --inputs 100000 --out /tmp/found

Kinds: header, table, study, checkpoint. An answer is a result or one line of ours; anything else is kept in ``--out``,
one input for each place in the code, and the run goes on. A hang beyond 30 s or more than 2 GB with torch ends it.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ablate"]):
    from ablate.ecg import ptbxl, record
    from ablate.errors import AblateError
    from ablate.model import checkpoint, inspection
    from ablate.study import file, plan

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from ablate.ecg.source import LEADS

sys.path.insert(0, str(Path(__file__).parent))
from ptbxl_tables import DATABASE, STATEMENTS

HEADER = "00001_lr 12 100 1000\n" + "".join(f"00001_lr.dat 16 1000.0(0)/mV 16 0 0 0 0 {lead}\n" for lead in LEADS)
STUDIES = Path(__file__).parents[2] / "studies"
Use = Callable[[bytes], object]


def header(folder: Path) -> tuple[Use, list[bytes]]:
    """A WFDB header beside its signal."""
    (folder / "00001_lr.dat").write_bytes(bytes(12 * 1000 * 2))

    def use(content: bytes) -> None:
        (folder / "00001_lr.hea").write_bytes(content)
        signal = record.read_record(folder / "00001_lr", fs_hz=100)
        assert signal.shape == (12, 1000)
        assert np.isfinite(signal).all()

    return use, [HEADER.encode(), HEADER.replace("/mV", "/uV").encode(), HEADER.replace("1000.0(0)", "1000").encode()]


def table(folder: Path) -> tuple[Use, list[bytes]]:
    """PTB-XL's two tables, one after the other in an input that a zero byte divides."""
    (folder / "records100").mkdir()

    def use(content: bytes) -> None:
        database, _, statements = content.partition(b"\0")
        (folder / "ptbxl_database.csv").write_bytes(database)
        (folder / "scp_statements.csv").write_bytes(statements or STATEMENTS.encode())
        ptbxl.PtbXl(folder).records()

    return use, [DATABASE.encode(), DATABASE.encode() + b"\0" + STATEMENTS.encode()]


def study(folder: Path) -> tuple[Use, list[bytes]]:
    """A study file and its plan."""

    def use(content: bytes) -> None:
        (folder / "study.toml").write_bytes(content)
        spec = file.load_spec(str(folder / "study.toml"))
        if spec.budget.most_trials + spec.budget.replicates < 1000:
            assert plan.plan(spec)

    return use, [path.read_bytes() for path in sorted(STUDIES.glob("*.toml"))]


def weights(folder: Path) -> tuple[Use, list[bytes]]:
    """An encoder's weights; the first byte says in which format."""
    network, buffer = nn.Sequential(nn.Conv1d(2, 3, 5), nn.BatchNorm1d(3)), io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, buffer)

    def use(content: bytes) -> None:
        path = folder / ("weights.pth" if content[:1] == b"p" else "weights.safetensors")
        path.write_bytes(content[1:])
        checkpoint.load_weights(network, path)
        inspection.inspect(path)

    return use, [b"p" + buffer.getvalue(), b"s" + save(network.state_dict())]


KINDS = {"header": header, "table": table, "study": study, "checkpoint": weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ablate-guided-"))
    use, seeds = KINDS[given.kind](folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    given.out.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    counts, places, started = {"inputs": 0, "refused": 0}, {}, time.monotonic()

    def one(content: bytes) -> None:
        counts["inputs"] += 1
        try:
            use(content)
        except AblateError as error:
            counts["refused"] += 1
            assert "\n" not in str(error), "a user error is one line"
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/ablate/" in frame.filename]
            place = f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
            if place not in places:
                places[place] = " ".join(str(error).split())[:200]
                (given.out / f"{given.kind}-{hashlib.sha256(place.encode()).hexdigest()[:8]}").write_bytes(content)
        if counts["inputs"] % 1000 == 0 or counts["inputs"] >= given.inputs:
            most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            facts = {**counts, "seconds": round(time.monotonic() - started), "most_mb": most_mb, "faults": places}
            (given.out / f"{given.kind}.json").write_text(json.dumps(facts, indent=1))
        if counts["inputs"] >= given.inputs:
            os._exit(0)

    limits = ["-timeout=30", "-rss_limit_mb=2048", "-max_len=20000", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(corpus), *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
