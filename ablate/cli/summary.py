"""The end of a session: arms as a table, one sentence for each verdict, and what is missing."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ablate.cli.output import emit_list, say

if TYPE_CHECKING:
    from ablate.report.summary import Summary


def show_summary(study: str, summary: "Summary") -> None:
    """Print what was found."""
    if summary.rows:
        say(study)
        emit_list([_narrow(row) for row in summary.rows])
    show_outcome(study, summary)


def show_outcome(study: str, summary: "Summary") -> None:
    """Print verdicts and what is missing only."""
    from ablate.report.wording import context_text

    if summary.headline:
        say(summary.headline)
    for verdict in summary.verdicts:
        where = f" at {context_text(verdict.context)}" if verdict.context.factors else ""
        say(f"{verdict.label}{where}: {verdict.sentence}")
    if summary.ledger:
        say(summary.ledger)
    for note in summary.notes:
        say(note)


def _narrow(row: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and sd of each score in one column, so that the table fits a terminal."""
    shown: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_mean"):
            spread = row[key.removesuffix("_mean") + "_sd"]
            numbers = [f"{number:.4f}" for number in (value, spread) if number is not None and math.isfinite(number)]
            shown[key.removesuffix("_mean")] = " ± ".join(numbers) or "-"
        elif not key.endswith("_sd"):
            shown[key] = f"{value:g}" if isinstance(value, float) else value
    return shown
