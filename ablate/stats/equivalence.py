"""Two one-sided tests: is the difference smaller than a margin that was declared beforehand?"""

import math

from ablate.errors import SpecError
from ablate.stats.effect import Effect, t_tail


def tost(effect: Effect, margin: float | None) -> float:
    """P-value against a difference of ``margin`` or more in either direction; NaN without a margin.

    Raises:
        SpecError: the margin is not positive.

    Source:
        Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657.
    """
    if margin is None:
        return math.nan
    if not margin > 0:
        raise SpecError(f"margin: {margin}; expected a positive difference below which arms count as equivalent")
    return t_tail(margin - abs(effect.difference), effect.standard_error, effect.df)
