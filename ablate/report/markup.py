"""HTML as values: everything that is not already markup is escaped, so that no name or message can become code."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Content = Any  # str is escaped, Html is not, an iterable is joined, None vanishes


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, how a value is shown, a number set flush right, a long text that may wrap."""

    title: str
    show: Callable[[Any], Content] = str
    number: bool = False
    long: bool = False

    @property
    def look(self) -> str | None:
        """Its class in the style sheet."""
        return "n" if self.number else "long" if self.long else None


def markup(content: Content) -> Html:
    """``content`` as markup."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, Iterable) and not isinstance(content, str | bytes):
        return Html("".join(markup(part) for part in content))
    return Html(escape(str(content)))


def tag(name: str, /, *content: Content, **attributes: Any) -> Html:
    """An element; ``class_`` gives class, ``data_key`` gives data-key, True a bare attribute, None or False none."""
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{markup(content)}</{name}>")


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    label: str,
    class_: str | None = None,
    id_: str | None = None,
) -> Html:
    """A table that scrolls sideways by itself on a narrow screen; the first cell of a row is its heading."""
    head = tag("tr", [tag("th", column.title, scope="col", class_=column.look) for column in columns])
    body = [_row(columns, row) for row in rows]
    element = tag(
        "table", tag("caption", label, class_="unseen"), tag("thead", head), tag("tbody", body), class_=class_, id_=id_
    )
    return tag("div", element, class_="wide", tabindex="0", role="region", aria_label=label)


def _row(columns: Sequence[Column], row: Sequence[Any]) -> Html:
    cells = []
    for position, (column, value) in enumerate(zip(columns, row, strict=True)):
        name = "td" if position else "th"
        scope = None if position else "row"
        cells.append(tag(name, column.show(value), class_=column.look, scope=scope))
    return tag("tr", cells)


def details(summary: str, *content: Content, class_: str | None = None) -> Html:
    """A part that opens on demand; of class "method" it is open on paper."""
    return tag("details", tag("summary", summary), *content, class_=class_)


def paragraph(*content: Content, class_: str | None = None) -> Html:
    """A paragraph."""
    return tag("p", *content, class_=class_)


def items(*entries: Content, class_: str | None = None) -> Html:
    """A list without order."""
    return tag("ul", [tag("li", entry) for entry in entries], class_=class_)
