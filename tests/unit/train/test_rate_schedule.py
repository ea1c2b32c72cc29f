import itertools
import math

import pytest

from ablate.train.epoch_plan import rate_factor


def factors(n_steps: int, **options: float) -> list[float]:
    return [rate_factor(step, n_steps=n_steps, **options) for step in range(n_steps)]


def test_the_cosine_falls_from_the_peak_to_its_floor() -> None:
    found = factors(101, min_ratio=0.02)
    assert found[0] == 1.0
    assert found[-1] == pytest.approx(0.02)
    assert found[50] == pytest.approx(0.02 + 0.98 / 2)
    assert all(earlier > later for earlier, later in itertools.pairwise(found))


def test_the_warm_up_rises_in_a_line_to_the_peak() -> None:
    found = factors(100, warmup_fraction=0.1)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert found[10] == 1.0
    assert found[-1] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_short_stages_have_finite_rates_within_their_limits(n_steps: int) -> None:
    for warmup_fraction in (0.0, 0.5, 0.9):
        for found in factors(n_steps, warmup_fraction=warmup_fraction, min_ratio=0.1):
            assert math.isfinite(found)
            assert 0 < found <= 1
