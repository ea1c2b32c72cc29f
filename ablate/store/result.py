"""Results: the document that a worker tells, and the columns in which it is stored and read back."""

from collections.abc import Mapping, Sequence
from typing import Any

EPOCH_COLUMNS = ("stage", "epoch", "val_auroc", "val_auprc", "train_loss", "seconds")
CLASS_COLUMNS = ("split", "class_name", "auroc", "auprc")
_OWN_COLUMNS = {"scores", "epochs", "class_scores", "seconds", "digests"}


def columns_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document by column of ``ablate_result``; a table becomes a list for each of its columns: smaller, faster."""
    return {
        "scores": document.get("scores", {}),
        "epochs": _by_column(document.get("epochs", ()), EPOCH_COLUMNS),
        "class_scores": _by_column(_class_rows(document.get("class_scores", {})), CLASS_COLUMNS),
        "seconds": document.get("seconds", {}),
        "digests": document.get("digests", {}),
        "facts": {key: value for key, value in document.items() if key not in _OWN_COLUMNS},
    }


def early_reason(document: Mapping[str, Any]) -> str | None:
    """Why the trial was stopped early, in words; None where it ran to its end."""
    found = document.get("early_stop")
    if not found:
        return None
    return (
        f"stopped early after epoch {found['epoch']} of {found['n_epochs']}: {found['score']} {found['value']:.4f}, "
        f"below the {found['threshold']:.4f} that earlier trials set"
    )


def _by_column(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in names}


def _class_rows(class_scores: Mapping[str, Mapping[str, Sequence[float]]]) -> list[dict[str, Any]]:
    return [
        {"split": split, "class_name": name, "auroc": auroc, "auprc": auprc}
        for split, by_class in class_scores.items()
        for name, (auroc, auprc) in by_class.items()
    ]
