"""Predictions of an exported model for the records of a source, prepared exactly as those that it was trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from ablate.ecg.collection import Collection
from ablate.ecg.form import Form
from ablate.ecg.lead_name import lead_positions
from ablate.ecg.preparation import open_cohort, prepare
from ablate.ecg.source import Source
from ablate.ecg.task import TASKS
from ablate.ecg.ten_seconds import with_derived
from ablate.errors import DataError, SpecError
from ablate.exported.manifest import Manifest
from ablate.exported.model import ExportedModel
from ablate.exported.table import class_columns
from ablate.outcome import Probabilities
from ablate.study.cohort import source_of_data
from ablate.study.file import load_data
from ablate.study.spec import LISTED, DataSpec


@dataclass(frozen=True)
class Predictions:
    """Probabilities of records in ascending order of their numbers, which is a table's order.

    Attributes:
        record: number of each, as the source calls it; from 1 where a table has no column of them.
        paths: file of each; None where the source has no files of its own.
        left_out: number -> why it could not be read.
    """

    classes: tuple[str, ...]
    record: Int[np.ndarray, "record"]
    probabilities: Probabilities = field(repr=False)
    paths: tuple[str, ...] | None = field(default=None, repr=False)
    left_out: Mapping[int, str] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """As a table: record, path where there are files, and a column for each class."""
        keys = {"record": self.record} if self.paths is None else {"record": self.record, "path": self.paths}
        names = class_columns(self.classes, ("record", "path"))
        return pd.DataFrame({**keys, **dict(zip(names, self.probabilities.T, strict=True))})


def predict_source(
    model: ExportedModel,
    source: Source,
    *,
    skip_damaged: bool = False,
    n_processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Probabilities for every record of ``source``; labels, also those of a test fold, are not looked at.

    Args:
        model: the model.
        source: of the records; prepared arrays that are there are used.
        skip_damaged: leave damaged records out; otherwise the first is an error.
        n_processes: how many read and filter.
        progress: called with the number of records read and in all.

    Raises:
        DataError: a record is damaged or lacks a lead that the model takes.
    """
    takes = model.manifest.records
    if isinstance(source, Collection):
        _check_leads(model.manifest, source)
    folder = prepare(
        source, fs_hz=takes.fs_hz, preprocessing=takes.preprocessing, leads=takes.leads, n_processes=n_processes,
        progress=progress, damaged="skip" if skip_damaged else "raise",
    )  # fmt: skip
    cohort = open_cohort(folder)
    probabilities = model.predict_prepared(cohort.signals)
    order = np.argsort(cohort.ecg_id, kind="stable")
    record = cohort.ecg_id[order]
    paths = source.paths if isinstance(source, Collection) else None
    named = None if paths is None else tuple(paths[number] for number in record.tolist())
    return Predictions(model.classes, record, probabilities[order], named, dict(cohort.skipped))


def records_of(
    manifest: Manifest, records: str, *, data_dir: Path | None = None, overrides: tuple[str, ...] = ()
) -> Source:
    """The records that ``records`` names: a CSV or parquet table, or a source such as ``ptbxl``.

    A table needs a column of paths and no other. Where the model was trained on a table, or on this source, the records
    are declared as they were then.

    Args:
        manifest: of the model.
        records: path of a table, or the name of a source.
        data_dir: folder of a source's files.
        overrides: ``key=value`` of ``[data]``, which go before all else.

    Raises:
        SpecError: no such source, or a key that cannot be used.
        DataError: the records are not there.
    """
    if Path(records).suffix.lower() in (".csv", ".parquet"):
        table = Path(records).absolute()
        source = source_of_data(_declared_table(manifest, table.name, overrides), data_dir=table.parent)
    else:
        source = source_of_data(_declared(manifest, records, overrides), data_dir=data_dir)
    return replace(source, for_test_only=True) if isinstance(source, Collection) else source


def _declared_table(manifest: Manifest, table: str, overrides: tuple[str, ...]) -> DataSpec:
    """A table without labels, patients and folds; its files have the form of those of a table trained on."""
    own = manifest.data if manifest.data["source"] == "table" else {}
    columns = {key: value for key, value in own.get("columns", {}).items() if key in _PLACES}
    columns |= {"labels": [], "one_record_each": True}
    form = {"form": own["form"]} if "form" in own else {}
    return load_data({"source": "table", "table": table, "columns": columns, **form}, overrides=overrides)


_PLACES = ("path", "record", "row", "start_s", "fs_hz")  # columns that say where the samples of a record lie


def _declared(manifest: Manifest, records: str, overrides: tuple[str, ...]) -> DataSpec:
    own = {key: value for key, value in manifest.data.items() if key != "external"}
    if records not in _SOURCES:
        raise SpecError(
            f"RECORDS = {records!r}: expected a table, .csv or .parquet, or one of {', '.join(_SOURCES)}; "
            f"this model was trained on {own['source']}"
        )
    if records == own["source"]:
        return load_data(own, overrides=overrides)
    task = {} if records in LISTED else {"task": TASKS[0]}  # labels that nobody looks at
    return load_data({"source": records, **task}, overrides=overrides)


_SOURCES = ("synthetic", "ptbxl", *LISTED)


def _check_leads(manifest: Manifest, source: Collection) -> None:
    """See that no lead that the model takes is flat by declaration, unless it was so in training too."""
    trained_with = Form(**manifest.data["form"]).leads if "form" in manifest.data else None
    given = source.form.leads
    if given is None or (trained_with is not None and set(given) == set(trained_with)):
        return
    lacking = set(manifest.records.leads) - with_derived(lead_positions(given))
    if lacking:
        named = " ".join(lead for lead in manifest.records.leads if lead in lacking)
        raise DataError(
            f"{source.folder}: records of the leads {' '.join(given)} lack {named}, which this model takes; "
            "take records that have them, or export a model that was trained on these leads"
        )
