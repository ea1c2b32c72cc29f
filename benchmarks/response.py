"""The real response of each arm to its params, trained once and kept as a table on which searches are replayed.

    python benchmarks/response.py train RAW --data DIR [--rounds 64] [--only NAME]
    python benchmarks/response.py pack RAW

``train`` fills the folder RAW trial by trial, one thread, and goes on where it was ended. ``pack`` writes what is there
to ``benchmarks/response/NAME.csv``, one line a trial with the validation curves of its fine-tuning.

Each arm has a scrambled Sobol sequence of its own in its space. Its first eight points, though, come from one sequence
that was dealt out to the arms in turn, a mistake that was noticed late: every fourth point of a Sobol sequence lies in
the same part of a range, so these put each arm into its own half of ft_lr. They stay, being real trials. The seeds of a
trial's subset, head and batches go round among four, and each arm's first points are trained with others too, so that
the table tells the noise of the seed from the worth of the params.
"""

import argparse
import csv
import functools
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import qmc

from ablate import atomic, seeds
from ablate.errors import TrialError

HERE = Path(__file__).parent
TABLES_DIR = HERE / "response"
N_SEEDS, N_DEALT = 4, 8
PROBED = {"lp", "lp_sd"}
DROPPED = {"sd", "lp_sd"}
ARMS = ("ft", "sd", "lp", "lp_sd")
COLUMNS = ("arm", "point", "seed", "ft_lr", "head_lr_ratio", "ft_epochs", "drop_path_rate", "probe_epochs",
           "outcome", "best_epoch", "val_auroc", "val_auprc", "updates", "probe_updates", "cpu_s", "probe_cpu_s",
           "auroc_by_epoch", "auprc_by_epoch")  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One cohort and share of its labels.

    Attributes:
        points_a_round: of each arm, while other tables wait; a cheap table takes several, a costly one a part.
    """

    name: str
    source: str
    weights: str
    data_fraction: float
    ft_epochs: tuple[int, int]
    points_a_round: float = 1.0

    def space(self) -> dict[str, tuple[float, float, bool, bool]]:
        """Low, high, logarithmic, whole number."""
        return {
            "ft_lr": (1e-4, 1e-2, True, False),
            "head_lr_ratio": (1.0, 100.0, True, False),
            "ft_epochs": (*self.ft_epochs, True, True),
            "drop_path_rate": (0.05, 0.5, False, False),
            "probe_epochs": (5, 40, False, True),
        }

    def params(self, arm: str, point: int) -> dict[str, float]:
        """The searched params of a point of ``arm``."""
        space = self.space()
        row = _shares(len(space), ARMS.index(arm), point)
        return {
            name: _at(share, *limits)
            for share, (name, limits) in zip(row, space.items(), strict=True)
            if (name != "drop_path_rate" or arm in DROPPED) and (name != "probe_epochs" or arm in PROBED)
        }


TABLES = (
    Table("ptbxl_10", "ptbxl", "embedded", 0.1, (4, 16), points_a_round=0.5),
    Table("synthetic_10", "synthetic", "synthetic", 0.1, (5, 40), points_a_round=2.0),
    Table("synthetic_100", "synthetic", "synthetic", 1.0, (2, 8), points_a_round=0.125),
)
FIXED = {"batch_size": 64, "probe_lr": 1e-2}


@functools.cache
def _sequence(n: int, seed: int) -> np.ndarray:
    return qmc.Sobol(n, scramble=True, seed=seed).random(1 << 10)


def _shares(n: int, arm: int, point: int) -> np.ndarray:
    """Place of a point within each range, from 0 to 1."""
    if point < N_DEALT:
        return _sequence(n, 11)[point * len(ARMS) + arm]
    return _sequence(n, 20 + arm)[point - N_DEALT]


def _at(share: float, low: float, high: float, log: bool, integer: bool) -> float:
    value = low * math.exp(share * math.log(high / low)) if log else low + share * (high - low)
    return round(value) if integer else value


def order(n_rounds: int) -> Iterator[tuple[Table, str, int, int]]:
    """Table, arm, point of the arm and number of the seed, so that what is done is spread over tables and arms."""
    for number in range(n_rounds):
        for table in TABLES:
            done, due = (math.floor(rounds * table.points_a_round) for rounds in (number, number + 1))
            for point, arm in product(range(done, due), ARMS):
                yield table, arm, point, point % N_SEEDS
                if point % 4 == 2:  # an earlier point, with a seed that it has not had
                    again, turn = divmod(point // 4, 2)
                    yield table, arm, again, (again + 1 + turn) % N_SEEDS


def train(raw: Path, data_dir: Path, n_rounds: int, only: str | None) -> None:
    os.environ.setdefault("ABLATE_HOME", str(raw / "home"))
    import torch  # noqa: PLC0415

    from ablate import settings  # noqa: PLC0415
    from ablate.ecg.preparation import open_cohort, prepare  # noqa: PLC0415
    from ablate.ecg.ptbxl import PtbXl  # noqa: PLC0415
    from ablate.ecg.split import load_task  # noqa: PLC0415
    from ablate.ecg.synthetic import Synthetic  # noqa: PLC0415
    from ablate.model.encoder import EncoderSpec  # noqa: PLC0415
    from ablate.train.feature_cache import FeatureCache  # noqa: PLC0415

    torch.set_num_threads(1)
    sources = {"ptbxl": PtbXl(data_dir), "synthetic": Synthetic(n_records=2400, seed=1)}
    tasks = {name: load_task(open_cohort(prepare(source)), "superdiagnostic") for name, source in sources.items()}
    cache = FeatureCache(settings.home() / "features")
    for table, arm, point, seed in order(n_rounds):
        target = raw / table.name / f"{arm}-{point}-{seed}.json"
        if target.exists() or (only and table.name != only):
            continue
        found, probabilities = run(
            EncoderSpec("net1d_small", table.weights), tasks[table.source], table, arm, point, seed, cache
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        if probabilities is not None:
            np.savez_compressed(target.with_suffix(".npz"), probabilities=probabilities.astype(np.float32))
        atomic.write_text(target, json.dumps(found))
        print(target.name, table.name, found["outcome"], found.get("val_auroc"), round(found["cpu_s"], 1), flush=True)


def run(encoder: Any, data: Any, table: Table, arm: str, point: int, seed: int, cache: Any) -> tuple[dict, Any]:
    """Train one trial; its line of the table and its validation probabilities."""
    from ablate.train.params import Params  # noqa: PLC0415
    from ablate.train.routine import post_train  # noqa: PLC0415

    params = table.params(arm, point)
    found: dict[str, Any] = {"arm": arm, "point": point, "seed": seed, **params}
    marks: dict[str, float] = {}
    begun = time.process_time()

    def report(progress: Any) -> None:
        if progress.stage == "probe":
            marks["probe"] = time.process_time() - begun

    given = Params.from_dict({**FIXED, **params, "data_fraction": table.data_fraction})
    try:
        outcome = post_train(encoder, data, given, seed=seeds.derive("response", seed), features=cache, report=report)
    except TrialError as error:
        return {**found, "outcome": type(error).__name__.lower(), "cpu_s": time.process_time() - begun}, None
    n_batches = math.ceil(outcome.n_train / given.batch_size)
    tuned = [epoch for epoch in outcome.epochs if epoch.stage == "finetune"]
    return {
        **found,
        "outcome": "done",
        "best_epoch": outcome.best_epoch,
        "val_auroc": outcome.scores["val_auroc"],
        "val_auprc": outcome.scores["val_auprc"],
        "updates": n_batches * given.ft_epochs,
        "probe_updates": n_batches * given.probe_epochs,
        "cpu_s": time.process_time() - begun,
        "probe_cpu_s": marks.get("probe", 0.0),
        "auroc_by_epoch": [epoch.val_auroc for epoch in tuned],
        "auprc_by_epoch": [epoch.val_auprc for epoch in tuned],
    }, outcome.val_probabilities


def pack(raw: Path) -> None:
    TABLES_DIR.mkdir(exist_ok=True)
    for table in TABLES:
        rows = [json.loads(path.read_text()) for path in (raw / table.name).glob("*.json")]
        rows.sort(key=lambda row: (ARMS.index(row["arm"]), row["point"], row["seed"]))
        with (TABLES_DIR / f"{table.name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: _cell(row.get(name)) for name in COLUMNS} for row in rows)
        print(table.name, len(rows))


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(f"{each:.5f}".lstrip("0") for each in value)
    return f"{value:.6g}" if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("train", "pack"))
    parser.add_argument("raw", type=Path)
    parser.add_argument("--data", type=Path, help="folder of PTB-XL")
    parser.add_argument("--rounds", type=int, default=64)
    parser.add_argument("--only", choices=[table.name for table in TABLES])
    asked = parser.parse_args()
    if asked.command == "pack":
        pack(asked.raw)
    else:
        train(asked.raw, asked.data, asked.rounds, asked.only)


if __name__ == "__main__":
    main()
