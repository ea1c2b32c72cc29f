import itertools

import numpy as np
import pytest

from ablate.errors import SpecError
from ablate.stats.sign_flip import sign_flip


def enumerated(differences: np.ndarray) -> float:
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    return float(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12))


@pytest.mark.parametrize("n_blocks", [1, 2, 5, 10, 11])
def test_equal_to_enumeration(n_blocks: int) -> None:
    rng = np.random.default_rng(n_blocks)
    for differences in (rng.normal(0.5, 1, n_blocks), rng.integers(-2, 4, n_blocks) / 10):
        assert sign_flip(differences) == pytest.approx(enumerated(differences))


def test_five_blocks_never_reach_five_percent() -> None:
    assert sign_flip(np.ones(5)) == 2 / 32
    assert sign_flip(np.zeros(5)) == 1


def test_too_few_and_too_many() -> None:
    with pytest.raises(SpecError, match="1 to 40"):
        sign_flip(np.array([]))
    with pytest.raises(SpecError, match="1 to 40"):
        sign_flip(np.ones(41))
