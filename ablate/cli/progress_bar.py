"""A bar for work that counts records or files."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ablate.cli.output import stderr


@contextmanager
def progress_bar(text: str, *, shown: bool) -> Iterator[Any]:
    """A progress bar on the terminal's error stream; the block gets a function of (done, in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    if not shown or not stderr.is_terminal:
        yield lambda done, total: None
        return
    with Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=stderr
    ) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
