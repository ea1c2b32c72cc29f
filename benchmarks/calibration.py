"""Do verdicts and intervals keep their promises? Whole studies with known truth, judged by the report's own function.

    python benchmarks/calibration.py --studies 800 --processes 2 --keep /tmp/calibration    # goes on where it stopped

Each study has four arms in two contexts, a new test fold, and predictions of every arm in every block; both contexts
and all arms see the same patients. A record's score for a class is its label times the class's separability plus noise:
shared by all models (a hard record is hard for everyone), the arm's own (what a set of test patients is for this arm:
no number of seeds averages it away), and the seed's own. Seeds also move the separability of all classes together and
of each. Noise is correlated among classes and among records of a patient. All arms are equal; where an arm shall be
better, its scores in all blocks are shifted by the same number after they were computed. So one simulated study is
judged under several truths.

Sequential studies are not simulated by predictions: block differences and patients' parts are drawn with the standard
deviations of the audit's table, since twenty blocks of predictions would cost hours and only their moments matter.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ablate.stats.contrast import Contrast, Verdict
from ablate.stats.declaration import Declaration, default_families
from ablate.stats.evaluation import Evaluation, evaluate
from ablate.stats.judge import judge
from ablate.stats.metrics import METRICS
from ablate.stats.two_source import satterthwaite

HERE = Path(__file__).parent
ARMS = ("ft", "sd", "lp", "lp_sd")
WEIGHTS = {f"{arm} - ft": {arm: 1.0, "ft": -1.0} for arm in ARMS[1:]} | {
    "sd x lp": {"lp_sd": 1.0, "sd": -1.0, "lp": -1.0, "ft": 1.0}
}
PAIRS = tuple(WEIGHTS)[:3]
CONTEXTS = tuple(json.dumps({"data_fraction": fraction}) for fraction in (0.1, 1.0))
CLAIMS = (Verdict.SUPPORTED, Verdict.REFUTED)
SIZES = (0.005, 0.01, 0.02)
# What is added to the arms' AUROC and AUPRC. In "gate" AUROC differs clearly and AUPRC not at all, the worst case of a
# second metric behind a first one; in "small" nothing is zero, so that every interval has something to cover.
TRUTHS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "none": {"auroc": {}, "auprc": {}},
    "gate": {"auroc": {"sd": 0.015, "lp": 0.015, "lp_sd": 0.03}, "auprc": {}},
    "small": {m: {"sd": k * 0.002, "lp": -k * 0.003, "lp_sd": k * 0.004} for m, k in (("auroc", 1), ("auprc", 2))},
    "power": {
        m: dict(zip(ARMS[1:], (k * size for size in SIZES), strict=True)) for m, k in (("auroc", 1), ("auprc", 2))
    },
}


@dataclass(frozen=True)
class Setting:
    """A kind of study.

    Attributes:
        n_positive: of each class; None for PTB-XL's statements as they are in one fold.
        arm, seed: shares of a score's noise variance.
        spread: of separability over seeds, relative; unequal: factors of it by arm.
        collapse: share of runs that lose a seventh of their separability.
        refused: whether the first context has no answers.
        every: played once for so many studies of the others, since it takes longer.
    """

    name: str
    n_blocks: int
    n_records: int
    n_positive: tuple[int, ...] | None
    records_per_patient: int = 1
    arm: float = 0.04
    seed: float = 0.06
    spread: float = 0.016
    unequal: tuple[float, float, float, float] = (1, 1, 1, 1)
    collapse: float = 0.0
    refused: bool = False
    every: int = 1


FIVE, RARE = (260, 140, 150, 160, 80), (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5)
MANY = tuple(np.geomspace(6, 900, 44).astype(int).tolist())
SETTINGS = (
    Setting("5 classes, 5 blocks", 5, 600, FIVE),
    Setting("5 classes, 10 blocks", 10, 600, FIVE),
    Setting("12 rare classes, 5 blocks", 5, 600, RARE),
    Setting("4 records a patient, 5 blocks", 5, 600, FIVE, records_per_patient=4),
    Setting("unequal spreads, 5 blocks", 5, 600, FIVE, unequal=(1, 3, 0.3, 2)),
    Setting("1 run in 5 collapses, 5 blocks", 5, 600, FIVE, collapse=0.2),
    Setting("seeds rule, 5 blocks", 5, 2000, FIVE, arm=0.002, spread=0.02),
    Setting("first context refused, 5 blocks", 5, 600, FIVE, refused=True),
    Setting("44 classes, 5 blocks", 5, 2158, MANY, every=8),
    Setting("71 classes, 5 blocks", 5, 2198, None, every=8),
)


class Fold:
    """Test patients, labels and noise of one setting."""

    def __init__(self, setting: Setting) -> None:
        table = pd.read_csv(HERE / "ptbxl_statements.csv")
        if setting.n_positive is None:
            self.n_positive = table["n_positive"].to_numpy()
            auroc = np.clip(table["auroc"].to_numpy(), 0.55, 0.995)
        else:
            self.n_positive = np.array(setting.n_positive)
            auroc = np.linspace(0.86, 0.96, len(self.n_positive))
        self.separability = np.sqrt(2) * stats.norm.ppf(auroc)
        self.patients = np.arange(setting.n_records) // setting.records_per_patient
        self.shape = setting.n_records, len(self.n_positive)

    def labels(self, rng: np.random.Generator) -> np.ndarray:
        """Exact counts, as in a stratified fold; records of a patient are alike."""
        inclination = self.noise(rng) + rng.standard_normal(self.shape)
        return np.argsort(np.argsort(-inclination, axis=0), axis=0) < self.n_positive

    def noise(self, rng: np.random.Generator) -> np.ndarray:
        """Unit variance; correlation .15 among classes of a record, .15 more among all a patient's records."""
        own = rng.standard_normal(self.shape, dtype=np.float32)
        patient = rng.standard_normal((self.patients[-1] + 1, 1), dtype=np.float32)[self.patients]
        record = rng.standard_normal((self.shape[0], 1), dtype=np.float32)
        return np.float32(np.sqrt(0.7)) * own + np.float32(np.sqrt(0.15)) * (patient + record)


def play(setting: Setting, rng: np.random.Generator) -> dict[str, Evaluation]:
    """The evaluations of one study with four equal arms."""
    fold = Fold(setting)
    labels, hard = fold.labels(rng), fold.noise(rng) * np.sqrt(1 - setting.arm - setting.seed)
    found = {}
    for context in CONTEXTS[1:] if setting.refused else CONTEXTS:
        arms = {}
        for arm, factor in zip(ARMS, setting.unequal, strict=True):
            of_arm = hard + fold.noise(rng) * np.sqrt(setting.arm)
            arms[arm] = {}
            for block in range(setting.n_blocks):
                moved = rng.standard_normal() + rng.standard_normal(fold.shape[1])
                separability = fold.separability * (1 + factor * setting.spread * moved)
                if rng.random() < setting.collapse:
                    separability = separability * 0.85
                noise = fold.noise(rng) * np.sqrt(setting.seed)
                arms[arm][block] = (of_arm + noise + separability * labels).astype(np.float32)
        found[context] = evaluate(arms, labels, fold.patients)
    return found


def declared(looks: tuple[int, ...], **more: object) -> Declaration:
    given = {"contexts": CONTEXTS, "weights": WEIGHTS, "margins": {"auroc": 0.005, "auprc": 0.01}, **more}
    return Declaration(families=default_families(given["weights"], "ft"), looks=looks, **given)


def shifted(evaluations: Mapping[str, Evaluation], truth: Mapping[str, Mapping[str, float]]) -> dict[str, Evaluation]:
    return {
        context: replace(
            found,
            blocks={
                metric: {
                    arm: {
                        block: (score + truth[metric].get(arm, 0.0), parts) for block, (score, parts) in blocks.items()
                    }
                    for arm, blocks in arms.items()
                }
                for metric, arms in found.blocks.items()
            },
        )
        for context, found in evaluations.items()
    }


def true_value(contrast: Contrast, truth: Mapping[str, Mapping[str, float]]) -> float:
    return sum(weight * truth[contrast.metric].get(arm, 0.0) for arm, weight in WEIGHTS[contrast.name].items())


def is_false(contrast: Contrast, truth: Mapping[str, Mapping[str, float]]) -> bool:
    """A claimed difference that is not there or goes the other way."""
    value = true_value(contrast, truth)
    return contrast.verdict in CLAIMS and (abs(value) < 1e-9 or (value > 0) != (contrast.difference > 0))


def outcomes(judged: list[Contrast], truth: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    """What is counted of one judged study."""
    row: dict[str, float] = {}
    for metric in METRICS:
        of_metric = [c for c in judged if c.metric == metric]
        row[f"false {metric}"] = any(is_false(c, truth) for c in of_metric)
        for family in ("main", "interactions"):
            row[f"false {metric} {family}"] = any(is_false(c, truth) for c in of_metric if c.family == family)
        if name == "none":
            row[f"raw p {metric}"] = float(np.mean([c.p < 0.05 for c in of_metric if c.name in PAIRS]))
        if name == "small":
            for context in {json.dumps(c.context) for c in of_metric}:
                for family in ("main", "interactions"):
                    members = [c for c in of_metric if json.dumps(c.context) == context and c.family == family]
                    held = all(c.simultaneous_low <= true_value(c, truth) <= c.simultaneous_high for c in members)
                    row[f"covered {metric} {family} {context}"] = held
                    for c in members:
                        row.setdefault(f"alone {metric}", 0.0)
                        row[f"alone {metric}"] += (c.ci_low <= true_value(c, truth) <= c.ci_high) / len(WEIGHTS)
        if name == "power":
            for c in of_metric:
                if c.name in PAIRS:
                    place = 1 + CONTEXTS.index(json.dumps(c.context))
                    row[f"found {metric} {SIZES[PAIRS.index(c.name)]} context {place}"] = float(c.verdict in CLAIMS)
    row["false both"] = any(is_false(c, truth) for c in judged)
    row["equivalent"] = float(np.mean([c.verdict is Verdict.EQUIVALENT for c in judged if c.name in PAIRS]))
    return row


def fixed_study(setting: Setting, index: int) -> dict[str, dict[str, float]]:
    evaluations = play(setting, np.random.default_rng([SETTINGS.index(setting), index]))
    found = {}
    for name, truth in TRUTHS.items():
        if name in ("small", "power") and index % 2 and setting.every == 1:
            continue  # coverage and power need fewer studies than an error of 5 %
        moved = shifted(evaluations, truth)
        found[name] = outcomes(judge(declared((setting.n_blocks,)), moved), truth, name)
        if name == "power":
            found[name] |= as_it_was(moved)
    return found


def as_it_was(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Pairs found by AUROC as before: patients' variance of the average, a single t, Holm over all."""
    p_values = {}
    for place, context in enumerate(CONTEXTS):
        for name, weights in WEIGHTS.items():
            if context in evaluations:
                found = evaluations[context]
                units = found.units("auroc", weights, found.complete(weights))
                square = units.parts.mean(axis=0) ** 2
                parts = np.array([units.differences.var(ddof=1) / len(units.differences), square.sum()])
                dfs = np.array([len(units.differences) - 1, 2 * square.sum() ** 2 / (square**2).sum()])
                error, df = math.sqrt(parts.sum()), satterthwaite(parts, dfs)
                p_values[place, name] = 2 * stats.t.sf(abs(units.differences.mean()) / error, df)
    names = sorted(p_values, key=p_values.__getitem__)
    steps = np.maximum.accumulate([p_values[name] * (len(names) - k) for k, name in enumerate(names)])
    told = {name for name, p in zip(names, steps, strict=True) if p < 0.05}
    return {
        f"found before {size} context {place + 1}": float((place, name) in told)
        for place in range(2)
        for name, size in zip(PAIRS, SIZES, strict=True)
        if (place, name) in p_values
    }


@dataclass(frozen=True)
class Growing:
    """A sequential study of one context: standard deviations of a pair's block difference and patients' part."""

    name: str
    seeds: float
    patients: float
    effects: tuple[float, float, float]

    @cached_property
    def truth(self) -> dict[str, dict[str, float]]:
        by_arm = dict(zip(ARMS[1:], self.effects, strict=True))
        return dict.fromkeys(METRICS, by_arm)


GROWING = (
    Growing("sigma .004, tau .001", 0.004, 0.001, (0.005, 0.01, 0.02)),
    Growing("sigma .004, tau .001, nothing there", 0.004, 0.001, (0, 0, 0)),
    Growing("sigma .004, tau .001, all at the margin", 0.004, 0.001, (0.005, 0.005, 0.005)),
    Growing("sigma .029, tau .007", 0.029, 0.007, (0.01, 0.047, 0.046)),
    Growing("sigma .029, tau .007, nothing there", 0.029, 0.007, (0, 0, 0)),
    Growing("sigma .0015, tau .0023", 0.0015, 0.0023, (0.005, 0.01, 0.02)),
    Growing("sigma .0015, tau .0023, nothing there", 0.0015, 0.0023, (0, 0, 0)),
)
LOOKS = (5, 10, 15, 20)
N_PATIENTS = 100


def drawn(growing: Growing, rng: np.random.Generator) -> Evaluation:
    """Twenty blocks: an arm's score is what its patients have in common, plus its seeds'."""
    unit = growing.patients / math.sqrt(2) * math.sqrt(N_PATIENTS)
    blocks: dict = {metric: {} for metric in METRICS}
    for arm in ARMS:
        common, by_seed = rng.normal(0, unit, N_PATIENTS), rng.normal(0, growing.seeds / math.sqrt(2), LOOKS[-1])
        seen = common + rng.normal(0, 0.5 * unit, (LOOKS[-1], N_PATIENTS))
        shift = 0.9 + growing.truth["auroc"].get(arm, 0.0)
        for metric in METRICS:
            blocks[metric][arm] = {
                b: (shift + by_seed[b] + seen[b].mean(), (seen[b] - seen[b].mean()) / N_PATIENTS)
                for b in range(LOOKS[-1])
            }
    return Evaluation(blocks, 5)


def first_blocks(evaluation: Evaluation, n_blocks: int) -> Evaluation:
    return replace(
        evaluation,
        blocks={
            metric: {arm: {b: by[b] for b in range(n_blocks)} for arm, by in arms.items()}
            for metric, arms in evaluation.blocks.items()
        },
    )


def growing_study(growing: Growing, index: int) -> dict[str, dict[str, float]]:
    """Fixed numbers of blocks, and the same blocks one look after the other until everything is decided."""
    evaluation = drawn(growing, np.random.default_rng([100 + GROWING.index(growing), index]))
    pairs = {name: WEIGHTS[name] for name in PAIRS}
    given = {"weights": pairs, "contexts": ("{}",), "margins": {"auroc": 0.005, "auprc": 0.005}}
    found = {
        f"fixed {n}": counted(judge(declared((n,), **given), {"{}": first_blocks(evaluation, n)}), growing, n)
        for n in (5, 10, 20)
    }
    for name, least in (("looks", 0.0), ("looks, futility", 0.05)):
        for look in LOOKS:
            judged = judge(declared(LOOKS, **given), {"{}": first_blocks(evaluation, look)}, is_over=look == LOOKS[-1])
            open_ones = [c for c in judged if c.metric == "auroc" and not c.is_decided and not c.prospect < least]
            if not open_ones:
                break
        found[name] = counted(judged, growing, look)
    return found


def counted(judged: list[Contrast], growing: Growing, n_blocks: int) -> dict[str, float]:
    here = [c for c in judged if c.metric == "auroc"]
    row = {f"found {place}": float(c.verdict in CLAIMS) for place, c in enumerate(here)}
    row["false"] = any(is_false(c, growing.truth) for c in here)
    row["false equivalence"] = any(
        c.verdict is Verdict.EQUIVALENT and abs(true_value(c, growing.truth)) >= 0.005 for c in here
    )
    row["equivalent"] = float(np.mean([c.verdict is Verdict.EQUIVALENT for c in here]))
    row["covered"] = all(c.simultaneous_low <= true_value(c, growing.truth) <= c.simultaneous_high for c in here)
    return row | {"blocks": float(n_blocks)}


def task(job: tuple[str, str, int]) -> tuple[str, str, int, dict[str, dict[str, float]]]:
    kind, name, index = job
    if kind == "fixed":
        return kind, name, index, fixed_study(next(s for s in SETTINGS if s.name == name), index)
    return kind, name, index, growing_study(next(s for s in GROWING if s.name == name), index)


def jobs(given: argparse.Namespace, kept: Mapping[str, dict]) -> Iterator[tuple[str, str, int]]:
    """Studies that are not there yet; one of each setting after the other, so that all grow alike."""
    kinds = [("fixed", s.name, s.every) for s in SETTINGS] + [("growing", s.name, 2) for s in GROWING]
    for index in range(given.first, given.first + given.studies):
        for kind, name, every in kinds:
            is_asked = given.only in (None, kind) and (not given.setting or name in given.setting)
            if is_asked and not index % every and str(index) not in kept.get(name, {}):
                yield kind, name, index


def summary(studies: Mapping[str, dict]) -> dict[str, dict]:
    """Means over studies, by truth or design, and the number of studies behind them."""
    keys = {key for study in studies.values() for key in study}
    found = {}
    for key in sorted(keys):
        rows = pd.DataFrame([study[key] for study in studies.values() if key in study]).astype(float)
        found[key] = {"n": len(rows), **{column: float(rows[column].mean()) for column in rows}}
    return found


def markdown(document: Mapping[str, dict]) -> str:
    """Both tables; percent, errors and coverage with their Monte Carlo standard error."""

    def cell(row: Mapping[str, float], *columns: str, digits: int = 0) -> str:
        values = [row[column] for column in columns if column in row]
        if not values:
            return "-"
        share = float(np.mean(values))
        error = f" ± {100 * math.sqrt(share * (1 - share) / row['n']):.1f}" if digits else ""
        return f"{100 * share:.{digits}f}{error}"

    lines = [
        "| setting | studies | false claims, nothing there: all together | AUROC: main, interactions |"
        " AUPRC: main, interactions | false claims, only AUROC differs | raw p < .05, AUROC / AUPRC |"
        " intervals of a family hold |",
        "|---|---|---|---|---|---|---|---|",
    ]
    powers = [
        "| setting | studies | found at .005 / .01 / .02, first context | second context | before, first |"
        " before, second |",
        "|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        if found := document.get(setting.name):
            power, small, none = found["power"], found["small"], found["none"]
            by_size = [
                " / ".join(cell(power, f"found {who}{size} context {place}") for size in SIZES)
                for who in ("auroc ", "before ")
                for place in (1, 2)
            ]
            covered = cell(small, *(column for column in small if column.startswith("covered")), digits=1)
            raw = f"{cell(none, 'raw p auroc')} / {cell(none, 'raw p auprc')}"
            families = " | ".join(
                ", ".join(cell(none, f"false {metric} {family}", digits=1) for family in ("main", "interactions"))
                for metric in METRICS
            )
            false = f"{cell(none, 'false both', digits=1)} | {families} | {cell(found['gate'], 'false both', digits=1)}"
            lines.append(f"| {setting.name} | {none['n']} | {false} | {raw} | {covered} |")
            powers.append(f"| {setting.name} | {power['n']} | {' | '.join(by_size)} |")
    lines += ["", *powers, ""]
    lines += ["| setting | studies | design | found, three pairs | equivalent | false claims | false equivalence |"
              " intervals hold | blocks |", "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for growing in GROWING:
        for design, row in sorted(document.get(growing.name, {}).items()):
            pairs = " / ".join(cell(row, f"found {place}") for place in range(3))
            rest = " | ".join(cell(row, column, digits=1) for column in ("false", "false equivalence", "covered"))
            equivalent = cell(row, "equivalent")
            lines.append(
                f"| {growing.name} | {row['n']} | {design} | {pairs} | {equivalent} | {rest} | {row['blocks']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="error, coverage and power of the verdicts on simulated studies")
    parser.add_argument("--studies", type=int, default=400, help="of each setting")
    parser.add_argument("--first", type=int, default=0, help="number of the first one, where machines share the work")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=["fixed", "growing"])
    parser.add_argument("--setting", action="append", help="its name; repeatable, all where left out")
    parser.add_argument("--keep", type=Path, required=True, help="folder of what was simulated, to go on from")
    parser.add_argument("--out", type=Path, help="summary as JSON")
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict] = {}
    log = given.keep / f"studies-{given.first}.jsonl"
    for path in sorted(given.keep.glob("studies-*.jsonl")):
        for line in path.read_text().splitlines():
            name, index, found = json.loads(line)
            kept.setdefault(name, {})[str(index)] = found
    with log.open("a") as file, ProcessPoolExecutor(given.processes) as pool:
        for _, name, index, found in pool.map(task, jobs(given, kept), chunksize=1):
            kept.setdefault(name, {})[str(index)] = found
            file.write(json.dumps([name, index, found]) + "\n")
            file.flush()
    document = {name: summary(studies) for name, studies in kept.items()}
    if given.out:
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(markdown(document))


if __name__ == "__main__":
    main()
