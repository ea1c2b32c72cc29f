import math

import numpy as np
import pytest
from scipy import stats
from simulated_evaluation import declared, evaluation

from ablate.stats.contrast import Verdict
from ablate.stats.course import Spreads, course, detectable, presumed_patient_sd
from ablate.stats.judge import judge

SEEDS, PATIENTS = Spreads(0.006, 0.0), Spreads(0.006, 0.002, 40)


def test_one_look_is_the_two_source_test() -> None:
    for difference in (0.0, 0.005, 0.01):
        shift, critical = difference / 0.006 * math.sqrt(10), stats.t.isf(0.025, 9)
        planned = stats.nct.sf(critical, 9, shift) + stats.nct.cdf(-critical, 9, shift)
        told = course(difference, SEEDS, looks=[10], level=0.05, margin=None)
        assert told.found == pytest.approx(planned, abs=0.025)
        assert told.blocks == 10


def test_looks_stop_early_where_the_difference_is_clear_and_keep_the_level_where_there_is_none() -> None:
    clear = course(0.03, PATIENTS, looks=[5, 10, 15, 20], level=0.02, margin=None)
    nothing = course(0.0, PATIENTS, looks=[5, 10, 15, 20], level=0.02, margin=None)
    assert clear.found > 0.99
    assert clear.blocks < 8
    assert nothing.found < 0.02 + 3 * math.sqrt(0.02 / 4000)
    assert nothing.blocks > 19
    assert course(0.0, PATIENTS, looks=[5, 10, 15, 20], level=0.02, margin=None, futility=0.2).blocks < 15


def test_equal_arms_are_equivalent_where_the_margin_is_wide() -> None:
    told = course(0.0, PATIENTS, looks=[5, 10, 20], level=0.05, margin=0.02)
    assert told.equivalent > 0.9
    assert told.found + told.equivalent <= 1


def test_the_detectable_difference_is_found_with_its_power() -> None:
    size = detectable(PATIENTS, looks=[5, 10, 20], level=0.02, power=0.8)
    assert course(size, PATIENTS, looks=[5, 10, 20], level=0.02, margin=None).found == pytest.approx(0.8, abs=0.02)
    assert detectable(Spreads(0.0, 0.0), looks=[5], level=0.02, power=0.8) == 0


def test_more_blocks_never_beat_the_test_fold() -> None:
    few, many = (detectable(PATIENTS, looks=[n], level=0.05, power=0.8) for n in (5, 200))
    assert few > many > 1.96 * PATIENTS.patients


def test_presumed_patients_spread() -> None:
    """Of one class it is Hanley and McNeil's: AUROC .9, 50 and 50 records, standard error .0321 for one arm."""
    found = presumed_patient_sd(np.array([50]), 100, auroc=0.9, correlation=0.5)
    assert found == pytest.approx(0.0321, abs=0.0001)
    assert presumed_patient_sd(np.array([1] * 71), 2198) > presumed_patient_sd(np.array([50] * 71), 2198)


@pytest.mark.slow
def test_the_course_is_what_the_judge_does() -> None:
    """Sixty studies of one contrast, judged look after look."""
    rng, weights, looks = np.random.default_rng(0), {"lp - ft": {"lp": 1.0, "ft": -1.0}}, (5, 10, 15)
    found, n_blocks = [], []
    for _ in range(60):
        seen = evaluation(rng, n_blocks=15, seeds=0.004, patients=0.001, effects={"lp": 0.006}, n_patients=100)
        judged = judge(declared(looks, weights=weights, contexts=("{}",), margins={}), {"{}": seen})
        of_auroc = next(one for one in judged if one.metric == "auroc")
        found.append(of_auroc.verdict is Verdict.SUPPORTED)
        n_blocks.append(of_auroc.n_blocks)
    seeds = 0.004 * math.sqrt(2)  # of a difference of two arms
    told = course(0.006, Spreads(seeds, 0.0014, 60), looks=looks, level=0.05, margin=None)
    assert told.found == pytest.approx(np.mean(found), abs=0.2)
    assert told.blocks == pytest.approx(np.mean(n_blocks), abs=1.5)
