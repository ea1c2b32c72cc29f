"""Do the tests keep their promises? Simulated studies with known truth, judged by the package's own statistics.

    python benchmarks/calibration.py                     # all settings, 1,000 studies each: about an hour of one core
    python benchmarks/calibration.py --studies 50        # a quick look

Two arms, ten paired blocks, 2,198 records of 1,904 patients, 71 correlated labels that are as frequent as PTB-XL's
(ptbxl_statements.csv: how often each statement occurs in folds 1 to 8, scaled to one fold; the published AUROC of
xresnet1d101; loadings of four factors fitted to the labels' correlations). A record's score for a class is its label
times the class's separability plus noise: shared by all models (a hard record is hard for everyone), the arm's own
(what a set of test patients is for this arm: no number of seeds averages it away), and the seed's own. Seeds also move
the separability of all classes together and of each. Noise is correlated among classes and among records of a patient.

Equal arms must be told apart in 5 % of the studies. With a true effect, the 95 % interval must cover it in 95 %.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ablate.stats.bootstrap import crossed_bootstrap
from ablate.stats.effect import PatientVariance, patient_variance, two_source_effect
from ablate.stats.metrics import METRICS, auprc_of, auroc_of
from ablate.stats.pseudo_value import pseudo_values_of
from ablate.stats.score_order import order
from ablate.stats.weighted_score import rank

HERE = Path(__file__).parent
N_BLOCKS = 10
RECORDS_OF_PATIENTS = {
    1: 1676,
    2: 178,
    3: 41,
    4: 3,
    5: 5,
    6: 1,
}  # PTB-XL's fold 10: so many patients have so many records
EFFECT = 0.06  # mean shift of separability, and its spread over classes


@dataclass(frozen=True)
class Setting:
    """Shares of a score's noise variance, and the relative spread of separability over seeds.

    Attributes:
        better: with an arm that is truly better than the baseline, beside the one that is equal.
    """

    name: str
    arm: float
    seed: float
    separability_spread: float
    better: bool = False


SETTINGS = (
    Setting("seeds decide", arm=0.02, seed=0.10, separability_spread=0.06),
    Setting("both count", arm=0.06, seed=0.10, separability_spread=0.02, better=True),
    Setting("patients decide", arm=0.20, seed=0.06, separability_spread=0.01),
)


class Population:
    """PTB-XL-like patients and labels."""

    def __init__(self) -> None:
        table = pd.read_csv(HERE / "ptbxl_statements.csv")
        self.n_positive = table["n_positive"].to_numpy()
        self.separability = np.sqrt(2) * stats.norm.ppf(np.clip(table["auroc"].to_numpy(), 0.55, 0.995))
        self.loadings = table.filter(like="loading").to_numpy()
        sizes = np.repeat(list(RECORDS_OF_PATIENTS), list(RECORDS_OF_PATIENTS.values()))
        self.patients = np.repeat(np.arange(len(sizes)), sizes)
        self.n_patients, self.n_records, self.n_classes = len(sizes), len(self.patients), len(table)

    def labels(self, rng: np.random.Generator) -> np.ndarray:
        """The most inclined records of each class get its label: counts are exact, as in a stratified fold."""
        factors = np.sqrt(0.6) * rng.standard_normal((self.n_patients, 4))[self.patients] + np.sqrt(
            0.4
        ) * rng.standard_normal((self.n_records, 4))
        own = np.sqrt(1 - (self.loadings**2).sum(axis=1)) * rng.standard_normal((self.n_records, self.n_classes))
        inclination = factors @ self.loadings.T + own
        return np.argsort(np.argsort(-inclination, axis=0), axis=0) < self.n_positive

    def noise(self, rng: np.random.Generator) -> np.ndarray:
        """Unit variance; correlation .15 among classes of a record, .15 more among all a patient's records."""
        own = rng.standard_normal((self.n_records, self.n_classes), dtype=np.float32)
        patient = rng.standard_normal((self.n_patients, 1), dtype=np.float32)[self.patients]
        record = rng.standard_normal((self.n_records, 1), dtype=np.float32)
        return np.float32(np.sqrt(0.7)) * own + np.float32(np.sqrt(0.15)) * (patient + record)


def study(population: Population, setting: Setting, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, list]]:
    """Labels of a new test fold and each block's scores of the arms: baseline, equal, better."""
    labels = population.labels(rng)
    shared = population.noise(rng) * np.sqrt(1 - setting.arm - setting.seed)
    shift = EFFECT * (1 + np.random.default_rng(0).standard_normal(population.n_classes))  # the same in every study
    arms: dict[str, list] = {"baseline": [], "equal": []} | ({"better": []} if setting.better else {})
    for arm in ("baseline", "equal"):
        of_arm = shared + population.noise(rng) * np.sqrt(setting.arm)
        for _ in range(N_BLOCKS):
            moved = rng.standard_normal() + rng.standard_normal(population.n_classes)
            separability = population.separability * (1 + setting.separability_spread * moved)
            scores = of_arm + population.noise(rng) * np.sqrt(setting.seed)
            arms[arm].append((scores + separability * labels).astype(np.float32))
            if arm == "equal" and setting.better:
                arms["better"].append((scores + (separability + shift) * labels).astype(np.float32))
    return labels, arms


def measure(population: Population, labels: np.ndarray, arms: Mapping[str, list]) -> Iterator[dict]:
    """Block differences and patients' variance of both contrasts by both metrics."""
    score = {"auroc": auroc_of, "auprc": auprc_of}
    by_arm = {arm: [order(labels, block) for block in blocks] for arm, blocks in arms.items()}
    values = {arm: [pseudo_values_of(by) for by in blocks] for arm, blocks in by_arm.items()}
    for metric in METRICS:
        mean = {arm: np.mean([block[metric] for block in blocks], axis=0) for arm, blocks in values.items()}
        macro = {arm: np.array([score[metric](by).mean() for by in blocks]) for arm, blocks in by_arm.items()}
        for arm in [arm for arm in arms if arm != "baseline"]:
            patients = patient_variance(mean[arm] - mean["baseline"], labels, population.patients)
            yield {
                "metric": metric,
                "arm": arm,
                "differences": (macro[arm] - macro["baseline"]).tolist(),
                **asdict(patients),
                "delong": delong_variance(mean[arm] - mean["baseline"], labels, population.patients),
            }


def delong_variance(values: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> float:
    """As published: every class has its own mean, so a single positive shows no variance at all."""
    deviation = np.zeros(len(patients))
    for chosen in (labels.T, ~labels.T):
        number = chosen.sum(axis=1, keepdims=True)
        mean = np.where(chosen, values, 0).sum(axis=1, keepdims=True) / number
        unbiased = 1 / np.sqrt(number * np.maximum(number - 1, 1))
        deviation += np.where(chosen, (values - mean) * unbiased, 0).mean(axis=0)
    return float((np.bincount(patients, deviation) ** 2).sum())


def bootstrap_intervals(
    population: Population, labels: np.ndarray, arms: Mapping[str, list], seed: int
) -> Iterator[dict]:
    ranked = {arm: [rank(labels, block) for block in blocks] for arm, blocks in arms.items()}
    draws = crossed_bootstrap(ranked, population.patients, n_draws=400, seed=seed)
    for metric in METRICS:
        for arm in [arm for arm in arms if arm != "baseline"]:
            drawn = draws.mean(draws.differences(metric, {arm: 1.0, "baseline": -1.0}))
            low, high = np.quantile(drawn, [0.025, 0.975])
            yield {"metric": metric, "arm": arm, "low": low, "high": high}


def simulate(setting: Setting, n_studies: int, n_bootstrapped: int, kept: Path | None) -> pd.DataFrame:
    """Studies of one setting; continues from the file ``kept`` if there is one."""
    population, started = Population(), time.perf_counter()
    rows = json.loads(kept.read_text()) if kept and kept.exists() else []
    for index in range(rows[-1]["study"] + 1 if rows else 0, n_studies):
        labels, arms = study(population, setting, np.random.default_rng([SETTINGS.index(setting), index]))
        measured = list(measure(population, labels, arms))
        if index < n_bootstrapped:
            for row, interval in zip(measured, bootstrap_intervals(population, labels, arms, index), strict=True):
                row |= {key: interval[key] for key in ("low", "high")}
        rows += [{"study": index, **row} for row in measured]
        if index % 50 == 49:
            if kept:
                kept.write_text(json.dumps(rows))
            print(f"{setting.name}: {index + 1} studies, {time.perf_counter() - started:.0f} s", flush=True)
    return pd.DataFrame(rows)


def summarise(rows: pd.DataFrame, setting: Setting) -> list[dict]:
    """Rejections of true nulls and coverage of true effects, with their Monte Carlo errors."""
    summaries = []
    for (metric, arm), group in rows.groupby(["metric", "arm"], sort=False):
        differences = np.array(group["differences"].tolist())
        truth = 0.0 if arm == "equal" else differences.mean()
        effects = [
            two_source_effect(row - truth, PatientVariance(variance, df))
            for row, variance, df in zip(differences, group["variance"], group["df"], strict=True)
        ]
        seeds = stats.ttest_1samp(differences, truth, axis=1).pvalue
        told = [effect.p < 0.05 for effect in effects]
        share = float(np.mean(told))
        published = two_source(differences - truth, group["delong"].to_numpy())
        summary = {
            "setting": setting.name,
            "metric": metric,
            "truth": float(truth),
            "studies": len(group),
            "outside_two_sources": share,
            "outside_delong_t9": float((published < 0.05).mean()),
            "outside_paired_t": float((seeds < 0.05).mean()),
            "monte_carlo_error": float(np.sqrt(share * (1 - share) / len(group))),
            "sd_of_differences": float(differences.mean(axis=1).std(ddof=1)),
            "mean_standard_error": float(np.sqrt(np.mean([effect.standard_error**2 for effect in effects]))),
            "median_df": float(np.median([effect.df for effect in effects])),
        }
        if "low" in group and group["low"].notna().any():
            drawn = group.dropna(subset="low")
            missed = (drawn["low"] > truth) | (drawn["high"] < truth)
            summary |= {"outside_bootstrap": float(missed.mean()), "bootstrapped": len(drawn)}
        summaries.append(summary)
    return summaries


def two_source(differences: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """P-values of the formula as usually written: DeLong's variance, and the blocks' degrees of freedom."""
    error = np.sqrt(differences.var(axis=1, ddof=1) / N_BLOCKS + variance)
    return 2 * stats.t.sf(np.abs(differences.mean(axis=1)) / error, N_BLOCKS - 1)


def markdown(summaries: list[dict]) -> str:
    lines = [
        "| setting | metric | truth | studies | outside, two sources % | outside, DeLong and t9 % |"
        " outside, paired t % | outside, bootstrap % (of studies) | sd of differences | mean standard error | df |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in summaries:
        boot = f"{100 * row['outside_bootstrap']:.1f} ({row['bootstrapped']})" if "outside_bootstrap" in row else ""
        lines.append(
            f"| {row['setting']} | {row['metric']} | {row['truth']:.4f} | {row['studies']} |"
            f" {100 * row['outside_two_sources']:.1f} ± {100 * row['monte_carlo_error']:.1f} |"
            f" {100 * row['outside_delong_t9']:.1f} | {100 * row['outside_paired_t']:.1f} | {boot} |"
            f" {row['sd_of_differences']:.5f} | {row['mean_standard_error']:.5f} | {row['median_df']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="rejection rates and coverage on simulated studies")
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--bootstrapped", type=int, default=200, help="studies that are bootstrapped too")
    parser.add_argument("--setting", choices=[setting.name for setting in SETTINGS], help="only this one")
    parser.add_argument("--out", type=Path, help="results as JSON")
    parser.add_argument("--keep", type=Path, help="folder for each study's differences and variances, to continue from")
    given = parser.parse_args()
    summaries = []
    for setting in SETTINGS:
        if given.setting in (None, setting.name):
            kept = given.keep / f"{setting.name.replace(' ', '_')}.json" if given.keep else None
            rows = simulate(setting, given.studies, given.bootstrapped, kept)
            summaries += summarise(rows, setting)
            print(markdown(summaries), flush=True)
    if given.out:
        given.out.write_text(json.dumps(summaries, indent=1) + "\n")


if __name__ == "__main__":
    main()
