"""The model card: what an exported model is, how it is loaded, what it scored and what it is not for, as Markdown."""

from collections.abc import Sequence

from ablate.exported.manifest import MANIFEST, WEIGHTS, Manifest
from ablate.report import wording
from ablate.report.arm import arm_facts
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.verdict import verdict_facts

_SPLITS = {"val": "validation", "test": "test", "external": "external"}


def model_card(evidence: Evidence, manifest: Manifest) -> str:
    """``README.md`` of the model's folder; its figures of the arm are those of the report."""
    origin = manifest.origin
    context = Context.of(origin.context)
    what = f"{origin.title} ({origin.arm})" if origin.title != origin.arm else origin.arm
    parts = [
        f"# {what}, {wording.context_text(context)}",
        f"A classifier of electrocardiograms from the study `{origin.study}`: {origin.question}",
        _training(manifest),
        "## Loading it",
        _loading(manifest),
        "## What it takes and gives",
        _input(manifest),
        _classes(manifest),
        "## Scores of this model",
        _own_scores(manifest),
        f"## Scores of the arm {origin.arm} in the study",
        *_arm(evidence, origin.arm, context),
        "## Recipe",
        wording.params_text(manifest.params),
        "## Not for",
        "Diagnosis. It was made to compare recipes; thresholds and probabilities hold for records like those of the "
        "study, and nobody has tried it on patients.",
        _provenance(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _training(manifest: Manifest) -> str:
    origin = manifest.origin
    if origin.training == "replicate":
        return (
            f"These are the weights of replicate {origin.replicate} of the confirmation, epoch {manifest.best_epoch}, "
            f"trained on {manifest.n_train} records: what the study scored, bit for bit."
        )
    return (
        f"Trained anew by the params that the study sealed, on all {manifest.n_train} records of folds 1 to 8, with "
        f"the seed of replicate {origin.replicate}; fold 9 chose epoch {manifest.best_epoch}. The test fold has not "
        "been opened for it, so it has no test score of its own."
    )


def _loading(manifest: Manifest) -> str:
    takes, own = manifest.records, manifest.encoder.source
    name = manifest.encoder.name
    code = f', encoder="{name}"' if own else ""
    run = (
        f"\n\nIts encoder is the code in `{name.partition(':')[0]}`, which is run only where it is named."
        if own
        else ""
    )
    option = f" --encoder {name}" if own else ""
    return f"""With `ablate` {manifest.ablate} installed, in this folder:

```python
import numpy as np

from ablate.exported.model import load_model

model = load_model("."{code})
leads, samples = {len(takes.leads)}, {takes.fs_hz * takes.duration_s}
signals = np.random.default_rng(0).normal(0, 0.1, (2, leads, samples))  # yours, in millivolts
probabilities = model.predict(signals)  # records x classes
for name, column in zip(model.classes, probabilities.T):
    print(name, column)
```

or, for a table with a column `path` of files:

```
ablate predict . records.csv --out probabilities.csv{option}
```{run}"""


def _input(manifest: Manifest) -> str:
    takes = manifest.records
    window = f", seen in windows of {takes.n_window / takes.fs_hz:g} s" if takes.n_window else ""
    return (
        f"{takes.duration_s} s at {takes.fs_hz} Hz{window}, millivolts, leads in this order: {' '.join(takes.leads)}. "
        f"Preprocessing `{takes.preprocessing}`, then each record has mean 0 and standard deviation 1; `predict` does "
        "both, and resamples. It gives a probability for each class; several may be likely at once."
    )


def _classes(manifest: Manifest) -> str:
    """A row for each class, with the scores of this model."""
    splits = list(manifest.class_scores)
    heads = ["class", "threshold", *(f"{_SPLITS[split]} {metric}" for split in splits for metric in ("AUROC", "AUPRC"))]
    rows = [
        [name, wording.number(manifest.thresholds.get(name)),
         *(wording.number(score) for split in splits
           for score in manifest.class_scores[split].get(name, (None, None)))]
        for name in manifest.classes
    ]  # fmt: skip
    note = "A record counts as positive from the threshold on: the largest F1 on the validation records (fold 9)."
    return f"{_table(heads, rows)}\n\n{note}"


def _own_scores(manifest: Manifest) -> str:
    named = [name for name in manifest.scores if not name.endswith("_last")]
    return _table(
        ["score", "value"], [[wording.metric_name(name), wording.number(manifest.scores[name])] for name in named]
    )


def _arm(evidence: Evidence, arm: str, context: Context) -> list[str]:
    """The report's figures of the arm and its sentences about it."""
    if evidence.refuses_tables:
        return [f"The report shows none: {wording.listing(list(evidence.mixed))}."]
    facts = arm_facts(evidence.study, evidence)
    scores = [facts.score(arm, context, column) for column in facts.columns]
    rows = [
        [
            wording.metric_name(one.column),
            str(one.n),
            wording.spread(one.mean, one.sd),
            wording.interval(one.low, one.high),
        ]
        for one in scores
    ]
    weights = {contrast.name: contrast.weights() for contrast in evidence.study.contrasts}
    verdicts = [
        f"- {one.label}: {one.sentence}"
        for one in verdict_facts(evidence)
        if one.context == context and arm in weights[one.contrast]
    ]
    table = _table(["score", "replicates", "mean ± sd", "95 %"], rows)
    return [table, *(["\n".join(verdicts)] if verdicts else [])]


def _provenance(manifest: Manifest) -> str:
    digests = manifest.digests
    return (
        f"`{MANIFEST}` has all of this for programs. SHA-256 of `{WEIGHTS}`: `{digests.weights}`; records "
        f"`{digests.data}`, encoder `{digests.encoder}` ({manifest.encoder.name}, from "
        f"{manifest.encoder.weights} weights), code {digests.code}, {digests.environment}."
        f"{wording.credit(manifest.data['source'])}"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
