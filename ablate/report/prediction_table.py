"""Probabilities of every confirmed trial on the test fold, and on the external test set where there is one."""

import pandas as pd

from ablate.errors import StoreError
from ablate.exported.table import class_columns
from ablate.report.study_record import StudyRecord

KEYS = ("slot", "arm", "replicate", "split", "record")


def prediction_frame(study: StudyRecord) -> pd.DataFrame:
    """A row for each trial and record: slot, arm, factors of the context, replicate, split, record, then the classes.

    A class has two columns, its name with the probability and ``label NAME`` with what is true.

    Raises:
        StoreError: the study is not sealed, or nothing is confirmed yet.
    """
    name, tables = study.spec.name, study.tables
    if study.seal is None:
        raise StoreError(f"study {name}: not sealed, so nothing is confirmed; `ablate run {name}` goes on")
    done = study.finished("confirm")
    folds = {"test": tables.test, "external": tables.external}
    if done.empty or tables.test is None:
        raise StoreError(f"study {name}: no trial is confirmed yet; `ablate run {name}` goes on")
    parts = []
    for slot_id, row in done.iterrows():
        for split, fold in folds.items():
            if fold is None:
                continue
            keys = {"slot": row["key"], "arm": row["arm"], **row["context"].values, "replicate": int(row["index"])}
            given = dict(
                zip(class_columns(fold.classes, KEYS), tables.probabilities(int(slot_id), split=split).T, strict=True)
            )
            true = {f"label {each}": column for each, column in zip(fold.classes, fold.labels.T, strict=True)}
            parts.append(pd.DataFrame({"split": split, "record": fold.ecg_id, **given, **true}).assign(**keys))
    frame = pd.concat(parts, ignore_index=True)
    factors = [factor for factor in study.spec.context if factor in frame]
    first = ["slot", "arm", *factors, "replicate", "split", "record"]
    return frame[[*first, *(column for column in frame if column not in first)]]
