import math

import pandas as pd
import pytest

from ablate.report import wording
from ablate.report.context import Context


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "+0.1235"), (-0.5, "−0.5000"), (math.nan, "–"), (None, "–"), (pd.NaT, "–")]
)
def test_differences_show_their_sign(value: object, text: str) -> None:
    assert wording.signed(value) == text


@pytest.mark.parametrize(("p", "text"), [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.0304, "0.030"), (math.nan, "–")])
def test_a_p_value_is_never_zero(p: float, text: str) -> None:
    assert wording.probability(p) == text


@pytest.mark.parametrize(
    ("context", "text", "key"),
    [
        (Context.of({"data_fraction": 0.1}), "10 % of the data", "data_fraction=0.1"),
        (Context.of({"data_fraction": 1.0}), "all of the data", "data_fraction=1"),
        (Context(), "all trials", "all"),
        (Context.of({"encoder": "vit"}), "encoder vit", "encoder=vit"),
    ],
)
def test_contexts_in_words(context: Context, text: str, key: str) -> None:
    assert (wording.context_text(context), wording.context_key(context)) == (text, key)


@pytest.mark.parametrize(("seconds", "text"), [(3, "3.0 s"), (90, "1.5 min"), (7200, "2.00 h"), (None, "–")])
def test_spans_of_time(seconds: float | None, text: str) -> None:
    assert wording.hours(seconds) == text


def test_long_lists_are_cut() -> None:
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
    assert wording.listing(list("abcdef"), most=2) == "a, b and 4 more"
    assert wording.listing([]) == ""
