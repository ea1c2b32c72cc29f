import json

import pytest

from ablate.report.markup import Column, Html, markup, table, tag
from ablate.report.section import script_json


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b>&", Html("<i>x</i>")) == "<p>&lt;b&gt;&amp;<i>x</i></p>"


def test_attributes_are_escaped_and_absent_ones_left_out() -> None:
    element = tag("a", "x", class_="a b", data_key='"><script>', hidden=True, title=None)
    assert element == '<a class="a b" data-key="&quot;&gt;&lt;script&gt;" hidden>x</a>'


def test_nested_content_is_joined() -> None:
    assert markup(["a", None, [tag("b", "c")], (n for n in "de")]) == "a<b>c</b>de"


def test_cells_are_shown_by_their_column() -> None:
    shown = table([Column("name"), Column("share", lambda v: f"{v:.1f}", True)], [("<x>", 0.25)], label="t")
    assert '<th scope="row">&lt;x&gt;</th><td class="n">0.2</td>' in shown


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "a&b", "\u2028"])
def test_data_cannot_end_its_script_element(text: str) -> None:
    content = script_json({"x": text})
    assert "<" not in content
    assert json.loads(content) == {"x": text}


def test_numbers_that_are_none_become_gaps() -> None:
    assert script_json([float("nan"), float("inf"), 1e-5, 0.1 + 0.2]) == "[null,null,1e-05,0.3]"
