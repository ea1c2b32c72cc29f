"""(c) Ray Tune over the function of (b): python ray_tune.py SLOTS.json RESULTS.json.

A fixed list of configurations, one CPU for each trial, actors reused as is Tune's default, an epoch's scores reported
as they come, no dashboard. Preparation is that of (b).
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from competent import memory_loader, prepare
from ray import tune
from script import Work, train, write


def fill(config: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    work = Work(Path(config["slots"]))

    def report(scores: dict[str, float]) -> None:
        tune.report(scores)

    found = train(work, work.slots[config["slot"]], memory_loader(work, Path(config["array"])), report=report)
    tune.report({"auroc": found["scores"]["val_auroc"], "found": found})


def main(slots: Path, results: Path) -> None:
    work = Work(slots)
    array = prepare(work, results.with_suffix(".npy"))
    share = 1 / work.about["n_processes"] if work.about["device"].startswith("cuda") else 0
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(num_cpus=work.about["n_processes"], include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        tuner = tune.Tuner(
            tune.with_resources(fill, {"cpu": 1, "gpu": share}),
            param_space={
                "slot": tune.grid_search(list(range(len(work.slots)))),
                "slots": str(slots.absolute()),
                "array": str(array.absolute()),
            },
            run_config=tune.RunConfig(storage_path=str(results.parent.absolute() / "ray"), verbose=0),
        )
        write([each.metrics["found"] for each in tuner.fit()], results)
        ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
