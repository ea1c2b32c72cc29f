"""Two single figures: python benchmarks/peers/figures.py probe|memory [--data DIR] [--records N] [--epochs 20].

``probe``: the probe's phase through the encoder, on features that must be made first, and on features that are there;
the training folds are taken whole. All three end with the same bits. Seconds are those of one thread's processor.
``memory``: what four workers of one study hold of the prepared arrays: resident, and in proportion to who shares it.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cohort import write_cohort
from meter import descendants
from slots import ENCODER, Task, write_study

from ablate.ecg.synthetic import Synthetic

N_WORKERS = 4


def probe(task: Task, scratch: Path) -> dict[str, Any]:
    """Processor seconds of a probe's three ways."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from ablate.ecg.preparation import open_cohort, prepare  # noqa: PLC0415  (torch must see the variable)
    from ablate.ecg.ptbxl import PtbXl  # noqa: PLC0415
    from ablate.ecg.split import load_task  # noqa: PLC0415
    from ablate.train.params import Params  # noqa: PLC0415
    from ablate.train.routine import EncoderSpec, FeatureCache, post_train  # noqa: PLC0415

    data = load_task(
        open_cohort(prepare(PtbXl(task.folder), cache_dir=scratch, n_processes=os.cpu_count() or 1)), "superdiagnostic"
    )
    params = Params(probe_epochs=task.probe_epochs, ft_epochs=0, batch_size=64)
    cache = FeatureCache(scratch / "features")
    seconds, outcomes = {}, []
    for name, features in (("encoder", None), ("features_made", cache), ("features_there", cache)):
        begun = time.process_time()
        outcomes.append(post_train(EncoderSpec(ENCODER, task.weights), data, params, seed=1, features=features))
        seconds[name] = time.process_time() - begun
    assert len({outcome.val_probabilities.tobytes() for outcome in outcomes}) == 1
    return {
        "train": len(data.train_rows),
        "val": len(data.val_rows),
        "epochs": task.probe_epochs,
        "cpu_s": {name: round(each, 2) for name, each in seconds.items()},
        "encoder_over_made": round(seconds["encoder"] / seconds["features_made"], 1),
        "encoder_over_there": round(seconds["encoder"] / seconds["features_there"], 1),
    }


def memory(task: Task, scratch: Path) -> dict[str, Any]:
    """Of the prepared signals, MiB in each trainer when all of them together held most."""
    study = scratch / "four.toml"
    write_study(task, study)
    environment = {**os.environ, "ABLATE_HOME": str(scratch / "home")}
    words = ["run", "--study", str(study), "--data", str(task.folder), "--workers", str(N_WORKERS), "--quiet"]
    most: list[dict[str, float]] = []
    try:
        run = subprocess.Popen([sys.executable, "-m", "ablate", *words], cwd=scratch, env=environment)
        while run.poll() is None:
            held = [found for pid in descendants(run.pid) if (found := _held(pid))]
            if sum(each["rss_mib"] for each in held) > sum(each["rss_mib"] for each in most):
                most = held
            time.sleep(0.2)
    finally:
        subprocess.run([sys.executable, "-m", "ablate", "storage", "stop"], env=environment, check=True)
    (file,) = scratch.glob("home/prepared/*/signals.npy")
    return {
        "file_mib": round(file.stat().st_size / 2**20, 1),
        "workers": most,
        "sum_rss_mib": round(sum(each["rss_mib"] for each in most), 1),
        "sum_pss_mib": round(sum(each["pss_mib"] for each in most), 1),
    }


def _held(pid: int) -> dict[str, float] | None:
    """What a process holds of mapped signals, None if nothing."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text()
    except OSError:
        return None
    found = re.search(r"/signals\.npy\n(?:\w+:.*\n)*?Rss:\s+(\d+) kB\n(?:\w+:.*\n)*?Pss:\s+(\d+) kB", text)
    return {"rss_mib": round(int(found[1]) / 1024, 1), "pss_mib": round(int(found[2]) / 1024, 1)} if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("figure", choices=["probe", "memory"])
    parser.add_argument("--data", type=Path, help="folder of PTB-XL; a synthetic cohort without it")
    parser.add_argument("--records", type=int, default=1200, help="of the synthetic cohort")
    parser.add_argument("--epochs", type=int, default=20, help="of the probe")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peers") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)  # the managed Postgres of a root user belongs to another account
        if not asked.data:
            write_cohort(scratch / "records", Synthetic(n_records=asked.records, seed=1))
        task = Task(
            name=asked.figure,
            folder=asked.data.absolute() if asked.data else scratch / "records",
            weights="embedded" if asked.data else "synthetic",
            data_fraction=1.0,
            preprocessing="none",
            n_slots=4,
            ft_epochs=1,
            probe_epochs=asked.epochs,
        )
        print(json.dumps({asked.figure: {"probe": probe, "memory": memory}[asked.figure](task, scratch)}, indent=1))
        shutil.rmtree(scratch / "home", ignore_errors=True)


if __name__ == "__main__":
    main()
