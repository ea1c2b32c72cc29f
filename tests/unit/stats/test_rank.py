import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.rank import rank_correlation


def test_it_is_what_scipy_says_and_ties_do_not_disturb() -> None:
    first, second = np.array([0.1, 0.2, 0.2, 0.4, 0.5]), np.array([1.0, 3.0, 2.0, 2.0, 9.0])
    rho, tau = rank_correlation(first, second)
    assert rho == pytest.approx(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])
    assert tau == pytest.approx((7 - 1) / 9)  # 7 pairs agree, 1 does not, 1 is tied on either side: 6 / sqrt(9 * 9)


def test_too_few_or_equal_values_have_no_order() -> None:
    for first, second in ([[1, 2], [1, 2]], [[1, 1, 1], [1, 2, 3]], [[1, 2, 3], [4, 4, 4]]):
        assert all(math.isnan(value) for value in rank_correlation(np.array(first), np.array(second)))
