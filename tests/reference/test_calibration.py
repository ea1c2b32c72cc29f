"""Do tests and intervals keep their promises? A small simulation, and the large one of benchmarks/calibration.py."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from ablate.stats.effect import Effect, patient_variance, two_source_effect
from ablate.stats.metrics import auprc_of, auroc_of
from ablate.stats.pseudo_value import pseudo_values_of
from ablate.stats.score_order import order

N_RECORDS, N_BLOCKS, N_STUDIES = 300, 10, 150
N_POSITIVE = np.array([1, 2, 2, 3, 5, 8, 12, 20, 40, 100])
SHIFT = 0.3  # of the better arm, in standard deviations of a score
SCORE = {"auroc": auroc_of, "auprc": auprc_of}
PATIENTS = np.arange(N_RECORDS) * 6 // 7  # every sixth has two records


def effects(rng: np.random.Generator) -> dict[tuple[str, str], tuple[Effect, np.ndarray]]:
    """One study: an arm equal to the baseline and a better one, by both metrics."""
    shape = (N_RECORDS, len(N_POSITIVE))
    labels = rng.random(shape).argsort(axis=0) < N_POSITIVE
    shared = np.sqrt(0.7) * rng.standard_normal(shape) + 1.5 * labels
    sorted_blocks: dict[str, list] = {"baseline": [], "equal": [], "better": []}
    for arm in ("baseline", "equal"):
        of_arm = shared + np.sqrt(0.15) * rng.standard_normal(shape)
        for _ in range(N_BLOCKS):
            scores = of_arm + np.sqrt(0.15) * rng.standard_normal(shape)
            sorted_blocks[arm].append(order(labels, scores))
            if arm == "equal":
                sorted_blocks["better"].append(order(labels, scores + SHIFT * labels))
    values = {arm: [pseudo_values_of(by) for by in blocks] for arm, blocks in sorted_blocks.items()}
    found = {}
    for metric, score in SCORE.items():
        mean = {arm: np.mean([block[metric] for block in blocks], axis=0) for arm, blocks in values.items()}
        macro = {arm: np.array([score(by).mean() for by in blocks]) for arm, blocks in sorted_blocks.items()}
        for arm in ("equal", "better"):
            differences = macro[arm] - macro["baseline"]
            variance = patient_variance(mean[arm] - mean["baseline"], labels, PATIENTS)
            found[metric, arm] = two_source_effect(differences, variance), differences
    return found


@pytest.fixture(scope="module")
def studies() -> list[dict[tuple[str, str], tuple[Effect, np.ndarray]]]:
    return [effects(np.random.default_rng([2, index])) for index in range(N_STUDIES)]


@pytest.mark.parametrize("metric", ["auroc", "auprc"])
def test_equal_arms_are_rarely_told_apart_although_seeds_alone_would(studies: list, metric: str) -> None:
    """Nominally 5 %; 150 studies of a calibrated test stay within 1 to 10 % with probability .99."""
    told = np.mean([study[metric, "equal"][0].p < 0.05 for study in studies])
    seeds_alone = np.mean([stats.ttest_1samp(study[metric, "equal"][1], 0).pvalue < 0.05 for study in studies])
    assert 0.01 <= told <= 0.1
    assert seeds_alone > 0.2


@pytest.mark.parametrize("metric", ["auroc", "auprc"])
def test_the_interval_covers_a_true_effect(studies: list, metric: str) -> None:
    found = [study[metric, "better"][0] for study in studies]
    truth = np.mean([effect.difference for effect in found])
    covered = np.mean([effect.ci_low <= truth <= effect.ci_high for effect in found])
    assert 0.9 <= covered <= 0.99
    assert truth > 0.02


@pytest.mark.parametrize("metric", ["auroc", "auprc"])
def test_the_standard_error_is_that_of_the_differences(studies: list, metric: str) -> None:
    found = [study[metric, "equal"][0] for study in studies]
    spread = np.std([effect.difference for effect in found], ddof=1)
    assert np.sqrt(np.mean([effect.standard_error**2 for effect in found])) == pytest.approx(spread, rel=0.2)


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_with_statements_as_frequent_as_ptbxls(calibration: ModuleType) -> None:
    setting = calibration.SETTINGS[1]
    for row in calibration.summarise(calibration.simulate(setting, 200, 0, None), setting):
        assert 0.01 <= row["outside_two_sources"] <= 0.1
        assert row["outside_paired_t"] > 0.15


def test_the_simulated_fold_is_like_ptbxls(calibration: ModuleType) -> None:
    population = calibration.Population()
    assert (population.n_records, population.n_patients, population.n_classes) == (2198, 1904, 71)
    labels = population.labels(np.random.default_rng(0))
    assert labels.sum(axis=0).tolist() == population.n_positive.tolist()
    assert (population.n_positive.min(), population.n_positive.max()) == (1, 1691)
    assert np.median(population.n_positive) == pytest.approx(22, abs=1)
