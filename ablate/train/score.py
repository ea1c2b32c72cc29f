"""Scores of a finished trial: of the chosen and the last epoch, on the validation and, where open, the test fold."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from ablate.outcome import Probabilities, Progress
from ablate.stats.metrics import (
    both_outcomes,
    class_auprc,
    class_auroc,
    macro_auprc,
    macro_auroc,
    missing_outcomes,
)
from ablate.train.stage import Course, Learner, Snapshot
from ablate.train.trial import Trial

ClassScores = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Assessment:
    """What ``Outcome`` says of the scores."""

    best_epoch: int
    scores: dict[str, float]
    class_scores: dict[str, ClassScores]
    val_probabilities: Probabilities
    test_probabilities: Probabilities | None
    external_probabilities: Probabilities | None = None


def assess(learner: Learner, course: Course, trial: Trial) -> Assessment:
    """Score the epoch that ``epoch_choice`` chooses, and the last one beside it."""
    chosen, last = course.chosen(trial.params.epoch_choice), course.last
    assert last is not None
    scores: dict[str, float] = {}
    by_class: dict[str, ClassScores] = {}
    probabilities: dict[str, Probabilities] = {}
    for split, (rows, labels) in trial.data.scored.items():
        known = chosen.probabilities, last.probabilities  # of the validation records, from training
        of_chosen, of_last = known if split == "val" else _predicted(learner, chosen, last, trial, rows)
        probabilities[split] = of_chosen
        scores |= macro_scores(split, labels, of_chosen, of_last)
        by_class[split] = class_scores(trial.data.classes, labels, of_chosen)
        trial.notes.extend(missing_note(split, trial.data.classes, labels))
    return Assessment(
        chosen.epoch, scores, by_class, probabilities["val"], probabilities.get("test"), probabilities.get("external")
    )


def _predicted(
    learner: Learner, chosen: Snapshot, last: Snapshot, trial: Trial, rows: Int[np.ndarray, "record"]
) -> tuple[Probabilities, Probabilities]:
    trial.progress_reporter.report(Progress(stage="test", epoch=0, n_epochs=1))
    with trial.timed("test"):
        learner.model.load_state_dict(last.weights)
        of_last = learner.predict(rows)
        learner.model.load_state_dict(chosen.weights)
        of_chosen = of_last if chosen is last else learner.predict(rows)
    return of_chosen, of_last


def macro_scores(
    split: str, labels: Bool[np.ndarray, "record class"], chosen: Probabilities, last: Probabilities
) -> dict[str, float]:
    """Macro AUROC and AUPRC of the chosen and of the last epoch, over the classes that have both outcomes."""
    classes = both_outcomes(labels)
    return {
        f"{split}_{metric.__name__.removeprefix('macro_')}{suffix}": metric(labels, probabilities, classes=classes)
        for suffix, probabilities in (("", chosen), ("_last", last))
        for metric in (macro_auroc, macro_auprc)
    }


def class_scores(
    classes: tuple[str, ...], labels: Bool[np.ndarray, "record class"], probabilities: Probabilities
) -> ClassScores:
    """AUROC and AUPRC of each class; NaN for one without both outcomes."""
    pairs = zip(class_auroc(labels, probabilities), class_auprc(labels, probabilities), strict=True)
    return {name: (float(auroc), float(auprc)) for name, (auroc, auprc) in zip(classes, pairs, strict=True)}


def missing_note(split: str, classes: tuple[str, ...], labels: Bool[np.ndarray, "record class"]) -> list[str]:
    """A sentence that names the classes that have no score in a split; none where all have one."""
    missing = missing_outcomes(labels)
    listed = ", ".join(f"{classes[i]} ({why})" for i, why in missing.items())
    name = "validation" if split == "val" else split
    return [f"classes without a score in the {name} records: {listed}"] if missing else []
