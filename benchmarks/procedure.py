"""Does the whole procedure keep its promise, from search to verdict? Studies with a known truth, played to their ends.

    PYTHONPATH=. python benchmarks/procedure.py replay RAW [--studies 40]
    PYTHONPATH=. python benchmarks/procedure.py train RAW [--study sd_vs_lp] [--arms ft] [--studies 2] [--data DIR]
    PYTHONPATH=. python benchmarks/procedure.py write RAW

A/A: an arm is tuned by two independent searches of the same space, both choices are confirmed on the same blocks, and
the report's own judge says whether they differ. They are one recipe, so a verdict that tells them apart is false. A/B:
two different arms, whose true difference is that of the best params that each has; a verdict contradicts it when it
claims the other sign, or equivalence where the truth lies beyond the margin.

``replay`` plays searches and blocks on ``surface``: no network is trained, and what it says of a procedure holds as far
as the surrogate is right. ``train`` trains every trial of a study file on real records and scores the blocks on the
validation fold, so that the test fold stays sealed. Both fill RAW one line a study and go on where they were ended;
``write`` makes ``benchmarks/procedure.json`` of it and prints its tables as Markdown.
"""

import argparse
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from replay import distance, luckiest, search, smoothed
from response import ARMS
from samplers import append, lines
from scipy import stats
from surface import MARGINS, Truth, response

from ablate import digest, seeds
from ablate.stats.contrast import Verdict
from ablate.stats.declaration import Declaration, default_families
from ablate.stats.evaluation import evaluate
from ablate.stats.judge import judge
from ablate.stats.metrics import METRICS
from ablate.study.sampler import Sampler
from ablate.study.settlement import settle

HERE = Path(__file__).parent
CLAIMS = {Verdict.SUPPORTED.name, Verdict.REFUTED.name}


@dataclass(frozen=True)
class Fold:
    """Test records as the tables' cohorts have them, and how alike two models are on them.

    Attributes:
        unlike: share of a score's noise in which two trials of one table differ; measured on the validation fold
            as half the ratio of the patients' variance of a difference to that of a score.
    """

    n_positive: tuple[int, ...]
    n_records: int
    unlike: float


FOLDS = {
    "ptbxl_10": Fold((495, 268, 540, 955, 528), 2146, unlike=0.12),
    "synthetic_10": Fold((66, 33, 52, 105, 44), 227, unlike=0.24),
}


@dataclass(frozen=True)
class Procedure:
    """How a study is made.

    Attributes:
        first, most: trials of each search; equal for a fixed number, whose luckiest trial is chosen.
        n_searches: independent searches of each arm; the blocks are dealt out among them.
    """

    name: str
    sampler: str
    first: int
    most: int
    n_blocks: int
    n_searches: int = 1


PROCEDURES = (
    Procedure("4 trials of tpe, luckiest, 5 blocks", "tpe", 4, 4, 5),
    Procedure("settled, 10 blocks", "posterior", 8, 64, 10),
    Procedure("4 trials, 5 searches, 5 blocks", "posterior", 4, 4, 5, n_searches=5),
    Procedure("4 trials, 5 searches, 10 blocks", "posterior", 4, 4, 10, n_searches=5),
)


def tuned(truth: Truth, how: Procedure, *, seed: int) -> tuple[Mapping[str, Any], int, bool]:
    """Chosen params of one search, its trials, and whether it is settled."""
    margin = MARGINS[truth.score]
    trials = search(
        truth,
        Sampler(how.sampler),
        n_trials=how.most,
        generation=4,
        seed=seed,
        until=lambda seen: len(seen) >= how.first and settle(seen, truth.domains, margin).is_settled,
    )
    if how.first == how.most:
        return luckiest(truth, trials), len(trials), False
    return smoothed(truth, trials), len(trials), settle(trials, truth.domains, margin).is_settled


def predictions(
    truths: Sequence[Truth], params: Sequence[Sequence[Mapping[str, Any]]], fold: Fold, random: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels of a fold, and each arm's predictions of every block: binormal, with the arm's true score in the mean."""
    shape = (fold.n_records, len(fold.n_positive))
    labels = np.argsort(np.argsort(random.random(shape), axis=0), axis=0) < fold.n_positive
    apart = min(1.0, distance(truths[0], params[0][0], params[1][0]) / 0.3) if truths[0].arm == truths[1].arm else 1.0
    own, once = fold.unlike / 2 * apart, fold.unlike / 2
    shared = random.standard_normal(shape) * math.sqrt(1 - own - once)
    spread = random.normal(0, 0.15, shape[1])  # classes are not equally hard
    found = []
    for truth, by_block in zip(truths, params, strict=True):
        of_arm = shared + random.standard_normal(shape) * math.sqrt(own)
        blocks = []
        for scores in truth.measured(by_block, random):
            separability = math.sqrt(2) * stats.norm.ppf(np.clip(scores, 0.51, 0.999)) + spread
            blocks.append(of_arm + random.standard_normal(shape) * math.sqrt(once) + separability * labels)
        found.append(stats.norm.cdf(np.array(blocks)))
    return labels, found


def judged(labels: np.ndarray, patients: np.ndarray, arms: Sequence[np.ndarray], n_searches: int) -> dict[str, Any]:
    """Verdict and difference by metric, as the report gives them."""
    n_blocks = len(arms[0])
    weights = {"one - other": {"one": 1.0, "other": -1.0}}
    declared = Declaration(
        contexts=("{}",),
        weights=weights,
        families=default_families(weights, "other"),
        looks=(n_blocks,),
        margins={metric: MARGINS[f"val_{metric}"] for metric in METRICS},
    )
    evaluation = evaluate(
        {name: dict(enumerate(blocks)) for name, blocks in zip(("one", "other"), arms, strict=True)},
        labels,
        patients,
        searches={block: block % n_searches for block in range(n_blocks)} if n_searches > 1 else None,
    )
    return {
        each.metric: {"verdict": each.verdict.name, "difference": round(each.difference, 6), "p": round(each.p, 6)}
        for each in judge(declared, {"{}": evaluation})
    }


def replayed(path: Path, tables: list[str], n_studies: int) -> None:
    """A/A of every arm and A/B against ft, by every procedure."""
    done = {tuple(row["key"]) for row in lines(path)}
    pairs = [(arm, arm) for arm in ARMS] + [(arm, "ft") for arm in ARMS if arm != "ft"]
    for number, table, how, (one, other) in product(range(n_studies), tables, PROCEDURES, pairs):
        key = (table, how.name, one, other, number)
        if key in done or (one != other and number >= n_studies // 2):
            continue
        append(path, {"key": key, **play(table, how, one, other, number)})


def play(table: str, how: Procedure, one: str, other: str, number: int) -> dict[str, Any]:
    """One study: searches of both arms, blocks, verdict."""
    truths = [_truth(table, arm, number) for arm in (one, other)]
    twins = (0, 1) if one == other else (0, 0)
    searches = [
        [_search(table, how, arm, number, twin * how.n_searches + turn) for turn in range(how.n_searches)]
        for arm, twin in zip((one, other), twins, strict=True)
    ]
    params = [[found[block % how.n_searches][0] for block in range(how.n_blocks)] for found in searches]
    random = np.random.default_rng(seeds.derive("blocks", table, how.name, one, other, number))
    labels, arms = predictions(truths, params, FOLDS[table], random)
    return {
        "verdicts": judged(labels, np.arange(len(labels)), arms, how.n_searches),
        "true_difference": round(truths[0].best - truths[1].best, 6),
        "regret": [
            round(truth.regret(each[0]), 6) for truth, found in zip(truths, searches, strict=True) for each in found
        ],
        "trials": [each[1] for found in searches for each in found],
        "settled": [each[2] for found in searches for each in found],
    }


def trained(path: Path, runs: "Laboratory", arms: Sequence[str], n_studies: int, names: Sequence[str]) -> None:
    """A/A of real arms: every trial is trained."""
    done = {tuple(row["key"]) for row in lines(path)}
    hows = [how for how in PROCEDURES if how.name in names]
    for number, arm, how in product(range(n_studies), arms, hows):
        key = (runs.name, how.name, arm, arm, number)
        if key in done:
            continue
        seed = seeds.derive("procedure", *key)
        searches = [
            [tuned(Trained(runs, arm, seed=seeds.derive(seed, twin, turn)), how, seed=seeds.derive(seed, twin, turn))
             for turn in range(how.n_searches)]
            for twin in range(2)
        ]  # fmt: skip
        blocks = [
            np.stack([
                runs.trial(arm, found[block % how.n_searches][0], seed=seeds.derive(seed, "block", block))[1]
                for block in range(how.n_blocks)
            ])
            for found in searches
        ]  # fmt: skip
        append(path, {
            "key": key,
            "verdicts": judged(runs.data.val_labels, runs.data.val_patients, blocks, how.n_searches),
            "params": [dict(each[0]) for found in searches for each in found],
            "trials": [each[1] for found in searches for each in found],
            "settled": [each[2] for found in searches for each in found],
        })  # fmt: skip


class Laboratory:
    """Trains trials of a study file, and keeps what it has trained in a folder."""

    def __init__(self, study: str, folder: Path, *, data_dir: Path | None, overrides: Sequence[str]) -> None:
        import torch  # noqa: PLC0415

        from ablate.ecg.preparation import open_cohort  # noqa: PLC0415
        from ablate.ecg.split import load_task  # noqa: PLC0415
        from ablate.study.cohort import prepare_cohort  # noqa: PLC0415
        from ablate.study.file import load_spec  # noqa: PLC0415
        from ablate.study.plan import contexts  # noqa: PLC0415
        from ablate.train.feature_cache import FeatureCache  # noqa: PLC0415

        torch.set_num_threads(1)
        self.spec = load_spec(study, overrides=list(overrides))
        self.context = contexts(self.spec)[-1]
        self.name = f"{study} at {', '.join(f'{name} = {value}' for name, value in self.context.items())}"
        self.score = self.spec.objectives.select
        self.data = load_task(open_cohort(prepare_cohort(self.spec, data_dir=data_dir)), self.spec.data.task)
        self._folder, self._features = folder, FeatureCache(folder / "features")

    def fixed(self, arm: str) -> dict[str, Any]:
        """What the arm does not search."""
        points = {name: domain.point for name, domain in {**self.spec.fixed, **self.spec.arm_space(arm)}.items()}
        return {name: value for name, value in points.items() if value is not None} | self.context

    def trial(self, arm: str, params: Mapping[str, Any], *, seed: int) -> tuple[float, np.ndarray]:
        """Validation score and probabilities."""
        from ablate.errors import Diverged  # noqa: PLC0415
        from ablate.model.encoder import EncoderSpec  # noqa: PLC0415
        from ablate.train.params import Params  # noqa: PLC0415
        from ablate.train.routine import post_train  # noqa: PLC0415

        whole = Params.from_dict({**self.fixed(arm), **params})
        kept = self._folder / f"{digest.of_json([self.data.digest, whole.document(), seed])[:24]}.npz"
        if kept.exists():
            with np.load(kept) as found:
                return float(found["score"]), found["probabilities"]
        encoder = EncoderSpec(self.spec.encoder.name, self.spec.encoder.weights)
        try:
            outcome = post_train(encoder, self.data, whole, seed=seed, features=self._features)
        except Diverged:
            return -math.inf, np.full(self.data.val_labels.shape, np.nan)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.with_suffix(".part").open("wb") as file:
            np.savez_compressed(file, score=outcome.scores[self.score], probabilities=outcome.val_probabilities)
        kept.with_suffix(".part").rename(kept)
        return outcome.scores[self.score], outcome.val_probabilities


class Trained:
    """An arm whose scores are trained; stands where ``Truth`` stands. All trials of a search share a seed."""

    def __init__(self, runs: Laboratory, arm: str, *, seed: int) -> None:
        self.arm, self.score, self._runs, self._seed = arm, runs.score, runs, seed
        space = runs.spec.arm_space(arm)
        self.domains = {name: domain for name, domain in space.items() if domain.point is None}

    def params(self, shares: Sequence[float]) -> dict[str, Any]:
        return {name: domain.at(share) for (name, domain), share in zip(self.domains.items(), shares, strict=True)}

    def measured(self, params: Sequence[Mapping[str, Any]], random: np.random.Generator) -> np.ndarray:
        return np.array([self._runs.trial(self.arm, each, seed=self._seed)[0] for each in params])


@functools.lru_cache(64)
def _truth(table: str, arm: str, number: int) -> Truth:
    """What is left open by the table is the same in all arms of a study, as they share network and records."""
    return Truth(response(table), arm, seed=seeds.derive("procedure", table, number))


@functools.lru_cache(512)
def _search(table: str, how: Procedure, arm: str, number: int, turn: int) -> tuple[Mapping[str, Any], int, bool]:
    return tuned(_truth(table, arm, number), how, seed=seeds.derive("procedure", table, how.name, arm, number, turn))


def write(raw: Path) -> None:
    """Counts by table, procedure and pair."""
    found: dict[str, Any] = {}
    for source in ("replay", "train"):
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in lines(raw / f"procedure_{source}.jsonl"):
            groups.setdefault(tuple(row["key"][:4]), []).append(row)
        for (table, how, one, other), rows in sorted(groups.items()):
            place = found.setdefault(source, {}).setdefault(table, {}).setdefault(how, {})
            place[one if one == other else f"{one} - {other}"] = summary(rows, is_same=one == other)
    (HERE / "procedure.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(markdown(found)))


def markdown(found: Mapping[str, Any]) -> Iterator[str]:
    """Tables for ``benchmarks/procedure.md``."""
    for source, by_table in found.items():
        for table, by_how in by_table.items():
            yield f"\n{source}, {table}, A/A\n"
            yield (
                "| procedure | arm | studies | told apart by AUROC | by AUPRC | called equivalent | trials a search | "
                "settled | median difference | regret, 90th percentile |"
            )
            yield "|---|---|---|---|---|---|---|---|---|---|"
            for how, by_pair in by_how.items():
                for arm, of in by_pair.items():
                    if " - " not in arm:
                        regret = "" if of["regret_p90"] is None else f"{of['regret_p90']:.4f}"
                        yield (
                            f"| {how} | {arm} | {of['studies']} | {of['auroc']['told_apart']} | "
                            f"{of['auprc']['told_apart']} | {of['auroc'].get('EQUIVALENT', 0)} | {of['trials']:g} | "
                            f"{of['settled']:.0%} | {of['median_difference']:.4f} | {regret} |"
                        )
            if any(" - " in pair for by_pair in by_how.values() for pair in by_pair):
                yield f"\n{source}, {table}, A/B against the reference truth\n"
                yield "| procedure | contrast | studies | contradicted | true effect > 2 margins | resolved |"
                yield "|---|---|---|---|---|---|"
                for how, by_pair in by_how.items():
                    for pair, of in by_pair.items():
                        if " - " in pair:
                            yield (
                                f"| {how} | {pair} | {of['studies']} | {of['contradicted']} | "
                                f"{of['true_above_twice_the_margin']} | {of['of_these_resolved']} |"
                            )


def summary(rows: Sequence[Mapping[str, Any]], *, is_same: bool) -> dict[str, Any]:
    """What the studies of one kind came to."""
    regrets = [regret for row in rows for regret in row.get("regret", ())]
    shared: dict[str, Any] = {
        "studies": len(rows),
        "median_difference": round(float(np.median([abs(row["verdicts"]["auroc"]["difference"]) for row in rows])), 5),
        "trials": float(np.median([n for row in rows for n in row["trials"]])),
        "settled": round(float(np.mean([each for row in rows for each in row["settled"]])), 2),
        "regret_p90": round(float(np.quantile(regrets, 0.9)), 5) if regrets else None,
    }
    for metric in METRICS:
        verdicts = [row["verdicts"][metric] for row in rows]
        shared[metric] = {name: sum(each["verdict"] == name for each in verdicts) for name in _names(verdicts)}
        shared[metric]["told_apart"] = sum(each["verdict"] in CLAIMS for each in verdicts)
    if is_same:
        return shared
    truths = [row["true_difference"] for row in rows]
    claimed = [row["verdicts"]["auroc"]["verdict"] for row in rows]
    large = [abs(truth) > 2 * MARGINS["val_auroc"] for truth in truths]
    return shared | {
        "contradicted": sum(_contradicts(claim, truth) for claim, truth in zip(claimed, truths, strict=True)),
        "true_above_twice_the_margin": sum(large),
        "of_these_resolved": sum(is_large and claim in CLAIMS for is_large, claim in zip(large, claimed, strict=True)),
    }


def _contradicts(claim: str, truth: float) -> bool:
    """The other sign, or equivalence where the truth lies beyond the margin."""
    if claim == Verdict.EQUIVALENT.name:
        return abs(truth) > MARGINS["val_auroc"]
    return claim in CLAIMS and (truth > 0) != (claim == Verdict.SUPPORTED.name)


def _names(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({each["verdict"] for each in verdicts})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("replay", "train", "write"))
    parser.add_argument("raw", type=Path)
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--tables", nargs="+", default=list(FOLDS), choices=list(FOLDS))
    parser.add_argument("--study", default="sd_vs_lp")
    parser.add_argument("--data", type=Path, help="folder of PTB-XL")
    parser.add_argument("--set", action="append", default=[], help="override of the study file")
    parser.add_argument("--arms", nargs="+", default=["ft"])
    parser.add_argument("--procedures", nargs="+", default=[how.name for how in PROCEDURES])
    asked = parser.parse_args()
    if asked.command == "replay":
        replayed(asked.raw / "procedure_replay.jsonl", asked.tables, asked.studies)
    elif asked.command == "train":
        runs = Laboratory(asked.study, asked.raw / "trials", data_dir=asked.data, overrides=asked.set)
        trained(asked.raw / "procedure_train.jsonl", runs, asked.arms, asked.studies, asked.procedures)
    else:
        write(asked.raw)


if __name__ == "__main__":
    main()
