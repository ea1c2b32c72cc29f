"""Tasks: which statements of a record are its labels, and under which class each of them counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool

from ablate.ecg.table import read_table
from ablate.errors import DataError

Task = Literal["all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"]
TASKS: tuple[str, ...] = get_args(Task)
OWN_TASK = "labels"  # the one task of records that come with labels of their own, where having none is a label too

Classes = Mapping[str, Mapping[str, str]]  # task -> statement code -> class

_COLUMNS = ("diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement: what kind it is, and where it stands in the diagnostic hierarchy."""

    code: str
    diagnostic: bool
    form: bool
    rhythm: bool
    superclass: str = ""
    subclass: str = ""


def read_statements(path: Path) -> tuple[Statement, ...]:
    """The table ``scp_statements.csv`` of PTB-XL, sorted by code.

    Raises:
        DataError: the file is missing, lacks a column, repeats a code, or leaves a diagnostic statement without class.
    """
    table = read_table(path, columns=_COLUMNS, remedy="expected scp_statements.csv of PTB-XL v1.0.3")
    code = table.headings[0]
    statements = sorted((_statement(path, row, row[code]) for row in table.rows), key=lambda each: each.code)
    for one, other in pairwise(statements):
        if one.code == other.code:
            raise DataError(f"{path}: statement {one.code!r} is listed twice; keep one of the two lines")
    return tuple(statements)


def task_classes(statements: Iterable[Statement]) -> dict[str, dict[str, str]]:
    """For each task, the class under which each statement counts; other statements are no label of that task."""
    statements = tuple(statements)
    return {
        "all": {each.code: each.code for each in statements},
        "diagnostic": {each.code: each.code for each in statements if each.diagnostic},
        "subdiagnostic": {each.code: each.subclass for each in statements if each.diagnostic},
        "superdiagnostic": {each.code: each.superclass for each in statements if each.diagnostic},
        "form": {each.code: each.code for each in statements if each.form},
        "rhythm": {each.code: each.code for each in statements if each.rhythm},
    }


def class_labels(
    statements: Bool[np.ndarray, "record code"], codes: tuple[str, ...], classes: Mapping[str, str]
) -> tuple[tuple[str, ...], Bool[np.ndarray, "record class"]]:
    """Names of a task's classes in alphabetical order, and which of them each record has."""
    names = tuple(sorted(set(classes.values())))
    member = np.zeros((len(codes), len(names)), np.float32)
    for position, code in enumerate(codes):
        if code in classes:
            member[position, names.index(classes[code])] = 1
    return names, (statements.astype(np.float32) @ member) > 0


def check_task(task: str, classes: Classes) -> None:
    """See that records have ``task``.

    Raises:
        DataError: they have not.
    """
    if task not in classes:
        raise DataError(f"task = {task!r} is not known; choose one of {', '.join(classes)}")


def is_labelled(task: str, labels: Bool[np.ndarray, "record class"]) -> Bool[np.ndarray, "record"]:
    """Which records belong to a task: those that have a label of it; with labels of their own all of them."""
    return np.asarray(labels.any(axis=1) | (task == OWN_TASK))


def _statement(path: Path, row: Mapping[str, str], code: str) -> Statement:
    diagnostic, form, rhythm = (_flag(path, row, code, name) for name in ("diagnostic", "form", "rhythm"))
    superclass, subclass = row["diagnostic_class"], row["diagnostic_subclass"]
    if not code:
        raise DataError(f"{path}: a line has no statement code; expected it in the first column")
    if diagnostic and not (superclass and subclass):
        raise DataError(f"{path}: diagnostic statement {code!r} has no diagnostic_class or diagnostic_subclass")
    return Statement(code, diagnostic, form, rhythm, superclass, subclass)


def _flag(path: Path, row: Mapping[str, str], code: str, name: str) -> bool:
    text = row[name]
    try:
        return bool(text) and float(text) != 0
    except ValueError as error:
        raise DataError(f"{path}: statement {code!r} has {name} = {text!r}; expected 1.0 or nothing") from error
