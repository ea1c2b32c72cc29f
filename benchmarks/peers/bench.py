"""The same slots by the usual script, a competent one, Ray Tune and ``ablate``: python benchmarks/peers/bench.py.

    [--data DIR] [--slots 4] [--epochs 5] [--repeats 3] [--once a] [--only a,b,e] [--json] [--gpu] …      see peers.md

Every variant starts from the files of the records, with an empty folder of its own, and ends when the last slot has
its scores. Variants are interleaved; the figures are medians over the repeats.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from cohort import write_cohort
from rich.console import Console
from rich.table import Table
from slots import ARMS, Task, slot_list, write_study

from ablate.ecg.synthetic import Synthetic

HERE = Path(__file__).parent
VARIANTS = {
    "a": "usual script",
    "b": "competent script",
    "bf": "competent script, features once",
    "c": "Ray Tune over (b)",
    "d": "ablate, optimisations off",
    "e": "ablate",
    "e1": "ablate, one worker",
}
TOLERANCE = 1e-4  # of an AUROC; sums in another order differ in their last bits, and training carries them on
PROBE_EPOCHS = 4  # for each epoch of fine-tuning, as in the middle of sd_vs_lp's space


def words(variant: str, place: Path, task: Task, n_processes: int, device: str) -> list[list[str]]:
    """The command of a variant, then what looks at its results and stops its daemons."""
    python, slots, results = sys.executable, str(place.parent / "slots.json"), str(place / "results.json")
    scripts = {
        "a": ["usual.py", slots, results],
        "b": ["competent.py", slots, results],
        "bf": ["competent.py", slots, results, "--features-once"],
        "c": ["ray_tune.py", slots, results],
    }
    if variant in scripts:
        name, *rest = scripts[variant]
        return [[python, str(HERE / name), *rest]]
    study = place.parent / "peers.toml"
    program = [python, str(HERE / "switched_off.py")] if variant == "d" else [python, "-m", "ablate"]
    n_workers = 1 if variant == "e1" else n_processes
    run = ["run", "--study", str(study), "--data", str(task.folder), "--workers", str(n_workers), "--device", device]
    return [
        [*program, *run],
        [python, str(HERE / "tell.py"), study.stem, results],
        [python, "-m", "ablate", "storage", "stop"],
    ]


def measure(variant: str, place: Path, task: Task, n_processes: int, device: str) -> dict[str, Any]:
    """One run of one variant in an empty folder: its use of the machine, by stage, and its scores."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    commands = [word for part in words(variant, place, task, n_processes, device) for word in ("--", *part)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ABLATE_", "OMP_"))}
    with (place / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, str(HERE / "meter.py"), str(place / "use.json"), *commands],
            cwd=place, env={**kept, "ABLATE_HOME": str(place / "home")}, stdout=log, stderr=log, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"variant {variant} has failed; the end of what it said:\n{(place / 'log').read_text()[-4000:]}"
        )
    use = json.loads((place / "use.json").read_text())
    found = json.loads((place / "results.json").read_text())
    shutil.rmtree(place)
    before_s = min(slot["begun_at"] for slot in found) - use["begun_at"]
    stages = {
        stage: sum(sum(slot["seconds"].get(name, 0.0) for name in names) for slot in found)
        for stage, names in {"probe": ("features", "probe"), "finetune": ("finetune",), "test": ("test",)}.items()
    }
    return {
        "wall_s": use["wall_s"],
        "before_s": before_s,
        "slots_s": use["wall_s"] - before_s,
        "cpu_s": use["cpu_s"],
        "peak_pss_mib": use["peak_pss_mib"],
        **{f"{stage}_s": seconds for stage, seconds in stages.items()},
        "scores": {slot["key"]: slot["scores"] for slot in found},
    }


def compare(task: Task, asked: argparse.Namespace, scratch: Path, console: Console) -> dict[str, Any]:
    """All variants in turn, ``--repeats`` times; medians, ratios to (e), the largest difference of an AUROC."""
    place = scratch / task.name
    place.mkdir()
    write_study(task, place / "peers.toml")
    about = slot_list(
        task, place / "peers.toml", cache=place / "prepared", device=asked.device, n_processes=asked.processes
    )
    (place / "slots.json").write_text(json.dumps(about))
    shutil.rmtree(place / "prepared")
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in asked.only}
    for repeat in range(asked.repeats):
        for variant in asked.only if repeat == 0 else [each for each in asked.only if each not in asked.once]:
            found[variant].append(measure(variant, place / variant, task, asked.processes, asked.device))
            console.print(
                f"{task.name}, repeat {repeat + 1}, {VARIANTS[variant]}: {found[variant][-1]['wall_s']:.1f} s, "
                f"load {os.getloadavg()[0]:.1f}",
                highlight=False,
            )
    medians = {variant: median_of(each) for variant, each in found.items()}
    return {
        "slots": {
            "n": task.n_slots,
            "ft_epochs": task.ft_epochs,
            "probe_epochs": task.probe_epochs,
            "data_fraction": task.data_fraction,
            "preprocessing": task.preprocessing,
            "train": len(about["slots"][0]["train_ids"]),
        },
        "variants": medians,
        "ratios": ratios(medians),
        "largest_auroc_difference": {v: largest_difference(each, found["e"][0]) for v, each in found.items()}
        if "e" in found
        else {},
        "walls_s": {variant: [round(each["wall_s"], 2) for each in runs] for variant, runs in found.items()},
    }


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0] if key != "scores"}


def ratios(medians: dict[str, dict[str, float]]) -> dict[str, float]:
    """Wall time of each variant over that of (e)."""
    if "e" not in medians:
        return {}
    return {
        f"{variant}_over_e": round(each["wall_s"] / medians["e"]["wall_s"], 2)
        for variant, each in medians.items()
        if variant != "e"
    }


def largest_difference(runs: Sequence[dict[str, Any]], ours: dict[str, Any]) -> float:
    """Of any slot's validation or test AUROC from that of (e), over all repeats."""
    return max(
        abs(run["scores"][key][name] - scores[name])
        for run in runs
        for key, scores in ours["scores"].items()
        for name in ("val_auroc", "test_auroc")
    )


def show(name: str, result: dict[str, Any], console: Console) -> None:
    slots = result["slots"]
    title = (
        f"{name}: {slots['n']} slots of {slots['train']} records, {slots['ft_epochs']} + {slots['probe_epochs']} epochs"
    )
    table = Table(title=title)
    columns = (
        "",
        "runs",
        "wall s",
        "before",
        "slots",
        "probe",
        "finetune",
        "test",
        "CPU s",
        "peak MiB",
        "over e",
        "AUROC off by",
    )
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for variant, each in result["variants"].items():
        ratio = result["ratios"].get(f"{variant}_over_e", 1.0)
        off = result["largest_auroc_difference"].get(variant)
        keys = ("wall_s", "before_s", "slots_s", "probe_s", "finetune_s", "test_s", "cpu_s")
        n_runs = len(result["walls_s"][variant])
        cells = [str(n_runs), *(f"{each[key]:.1f}" for key in keys)]
        table.add_row(
            f"({variant}) {VARIANTS[variant]}", *cells, f"{each['peak_pss_mib']:.0f}", f"{ratio:.2f}",
            "-" if off is None else f"{off:.1e}",
        )  # fmt: skip
    console.print(table)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2),
        **{name: version(name) for name in ("torch", "numpy", "scikit-learn", "optuna", "ray", "wfdb")},
    }


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of PTB-XL; without it only the synthetic cohort")
    parser.add_argument("--cohort", choices=["synthetic", "ptbxl"], action="append", help="by default all there are")
    parser.add_argument("--records", type=int, default=2400, help="of the synthetic cohort")
    parser.add_argument("--slots", type=int, default=4, help="a multiple of the four arms")
    parser.add_argument(
        "--epochs", type=int, default=5, help=f"of fine-tuning; a probe has {PROBE_EPOCHS} times as many"
    )
    parser.add_argument("--preprocessing", choices=["ecgfounder", "none"], default="none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", default="a", help="variants that are run in the first repeat only, for their length")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="of (b) to (e)")
    parser.add_argument("--only", default="a,b,bf,c,d,e", help=f"some of {', '.join(VARIANTS)}")
    parser.add_argument("--gpu", action="store_true", help="train on CUDA: e1 is serial, b to e share the device")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, the table to standard error")
    parser.add_argument("--out", type=Path, help="write the results there; another cohort's stay")
    asked = parser.parse_args(arguments)
    asked.only, asked.once = asked.only.split(","), asked.once.split(",")
    if unknown := set(asked.only) - set(VARIANTS):
        parser.error(f"--only: no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    if asked.slots % len(ARMS) or asked.slots < len(ARMS) or asked.epochs < 1 or asked.repeats < 1:
        parser.error(f"--slots: a multiple of {len(ARMS)}, --epochs and --repeats: from 1")
    if not 1 <= asked.epochs * PROBE_EPOCHS <= 40:
        parser.error("--epochs: at most 10, since sd_vs_lp probes for at most 40")
    asked.cohort = asked.cohort or ["synthetic", *(["ptbxl"] if asked.data else [])]
    if "ptbxl" in asked.cohort and not asked.data:
        parser.error("--cohort ptbxl: needs --data DIR")
    asked.device = "cuda" if asked.gpu else "cpu"
    if asked.gpu:
        import torch  # noqa: PLC0415

        if not torch.cuda.is_available():
            parser.error("--gpu: torch sees no CUDA device here")
        asked.only = [*asked.only, "e1"] if "e" in asked.only and "e1" not in asked.only else asked.only
    return asked


def task_of(name: str, asked: argparse.Namespace, scratch: Path) -> Task:
    sizes = {
        "preprocessing": asked.preprocessing,
        "n_slots": asked.slots,
        "ft_epochs": asked.epochs,
        "probe_epochs": asked.epochs * PROBE_EPOCHS,
    }
    if name == "ptbxl":
        return Task(name=name, folder=asked.data.absolute(), weights="embedded", data_fraction=0.1, **sizes)
    folder = scratch / "records"
    write_cohort(folder, Synthetic(n_records=asked.records, seed=1))
    return Task(name=name, folder=folder, weights="synthetic", data_fraction=1.0, **sizes)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parsed(arguments)
    sys.stdout.reconfigure(line_buffering=True)
    console = Console(stderr=asked.json, width=170)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="peers") as folder:
        Path(folder).chmod(0o755)  # the managed Postgres of a root user belongs to another account
        for name in asked.cohort:
            task = task_of(name, asked, Path(folder))
            results[name] = {"machine": machine(), **compare(task, asked, Path(folder), console)}
            show(name, results[name], console)
            if asked.out:
                before = json.loads(asked.out.read_text()) if asked.out.exists() else {}
                asked.out.write_text(json.dumps(before | results, indent=1) + "\n")
    if asked.json:
        print(json.dumps(results, indent=1))
    off = max((d for each in results.values() for d in each["largest_auroc_difference"].values()), default=0)
    if off > TOLERANCE:
        console.print(f"an AUROC differs by {off:.1e}; expected at most {TOLERANCE:.0e}: these are not the same slots")
    return int(off > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
