"""The end of a session: arms as a table, one sentence for each verdict, and what is missing."""

from typing import TYPE_CHECKING, Any

from ablate.cli.output import console, emit

if TYPE_CHECKING:
    from ablate.report.summary import Summary


def show_summary(study: str, found: "Summary") -> None:
    """Print what was found."""
    if found.rows:
        emit(found.rows, title=study)
    from ablate.report.wording import context_text

    for verdict in found.verdicts:
        where = "" if verdict.context == "{}" else f" at {context_text(verdict.context)}"
        console.print(f"{verdict.outcome}{where}: {verdict.sentence}", markup=False, highlight=False, soft_wrap=True)
    for note in found.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def summary_document(study: str, found: "Summary") -> dict[str, Any]:
    """The same for programs."""
    verdicts = [
        {
            "contrast": verdict.contrast,
            "context": verdict.context,
            "outcome": verdict.outcome,
            "sentence": verdict.sentence,
        }
        for verdict in found.verdicts
    ]
    return {"study": study, "arms": found.rows, "verdicts": verdicts, "notes": list(found.notes)}
