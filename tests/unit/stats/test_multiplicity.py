import numpy as np
import pytest

from ablate.errors import DataError
from ablate.stats.multiplicity import holm, holm_behind


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.9])), [1, 1])
    assert holm(np.array([])).shape == (0,)


def test_an_untested_contrast_does_not_count() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.03])), [0.02, np.nan, 0.03])


def test_the_second_family_holds_only_what_passed_the_first() -> None:
    adjusted = holm_behind(np.array([0.01, 0.001, 0.03]), np.array([True, False, True]))
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.03])


def test_not_a_probability() -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        holm(np.array([0.1, 1.2]))
