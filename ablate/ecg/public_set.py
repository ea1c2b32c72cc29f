"""Public collections by name, each as its makers distribute it: thin lists on the path of own records.

Sources: Reyna et al., "Will two do? Varying dimensions in electrocardiography", CinC 2021 (PhysioNet/CinC Challenge);
Ribeiro et al., CODE-15 %, Zenodo 4916206; Gow et al., MIMIC-IV-ECG 1.0, PhysioNet. CODE-15 % and MIMIC-IV-ECG are
read by what their documents say: no file of theirs was at hand.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from ablate.ecg.cell_reader import CellReader
from ablate.ecg.collection import Collection
from ablate.ecg.extra import extra
from ablate.ecg.finding import Finding
from ablate.ecg.fold_making import make_folds
from ablate.ecg.form import Form
from ablate.ecg.listing import Listing, Place, class_findings, fold_findings, statement_matrix
from ablate.ecg.mapping import read_mapping
from ablate.ecg.regular_file import read_regular
from ablate.ecg.snomed import SCORED
from ablate.ecg.table import Table, read_table
from ablate.ecg.task import class_labels
from ablate.errors import DataError

_MOST_HEADER_BYTES = 1 << 20
_DIAGNOSES = re.compile(rb"^#\s*Dx:\s*(.*)$", re.MULTILINE)
_CODE_LABELS = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")


@dataclass(frozen=True)
class Cinc2021(Collection):
    """Georgia, Ningbo, CPSC, PTB-XL and others as the challenge of 2021 distributes them, one folder or all of them.

    Labels are the SNOMED codes of each header; without a mapping those that the challenge scored, under its names. The
    headers name no patients: each record counts as one of its own, so PTB-XL's few repeated patients are not known.
    """

    form: Form = field(default_factory=lambda: Form(rates_hz="any", length="crop_or_pad"))

    name: ClassVar[str] = "cinc2021"

    def _list(self) -> Listing:
        headers = sorted(self.folder.rglob("*.hea"))
        if not headers:
            raise DataError(
                f"{self.folder}: has no .hea file; expected records of the CinC 2021 challenge", kind="table"
            )
        given = [_diagnoses(header) for header in headers]
        places = [str(header.relative_to(self.folder).with_suffix("")) for header in headers]
        numbers = np.arange(1, len(headers) + 1)
        return _listing(self, numbers, numbers, given, [Place(path) for path in places], SCORED)


@dataclass(frozen=True)
class Code15(Collection):
    """CODE-15 %: exams.csv beside its exams_part*.hdf5; exams whose part is not there are passed over.

    Exams are 7 or 10 seconds at 400 Hz, padded with zeros on both sides to 4096 samples by their makers; the middle ten
    seconds are taken.
    """

    form: Form = field(
        default_factory=lambda: Form(rates_hz=400, length="crop_or_pad", take="middle", dataset="tracings")
    )

    name: ClassVar[str] = "code15"

    def _list(self) -> Listing:
        columns = ("exam_id", "patient_id", "trace_file", *_CODE_LABELS)
        table = read_table(self.folder / "exams.csv", columns=columns, remedy="expected the files of CODE-15 %")
        place_of = {name: _exam_rows(self.folder / name) for name in sorted({row["trace_file"] for row in table.rows})}
        cells = CellReader(table)
        exam, patient = (_numbers(cells, name) for name in ("exam_id", "patient_id"))
        kept = [at for at, row in enumerate(table.rows) if exam[at] in place_of[row["trace_file"]]]
        if not kept and not cells.findings:
            raise DataError(
                f"{self.folder}: has none of the parts that exams.csv names; unpack one of them", kind="table"
            )
        given = [frozenset(label for label in _CODE_LABELS if cells.flag(at, label)) for at in kept]
        files = [table.rows[at]["trace_file"] for at in kept]
        places = [Place(file, place_of[file][int(exam[at])]) for at, file in zip(kept, files, strict=True)]
        usual = {label: label for label in _CODE_LABELS}
        return _listing(self, exam[kept], patient[kept], given, places, usual, cells.findings)


@dataclass(frozen=True)
class MimicIvEcg(Collection):
    """MIMIC-IV-ECG: record_list.csv, and as statements the lines of the machine's reports in machine_measurements.csv.

    Which statements make a class is for the study to say: ``mapping`` is needed.
    """

    name: ClassVar[str] = "mimic_iv_ecg"

    def _list(self) -> Listing:
        if self.mapping is None:
            raise DataError(
                f"{self.folder}: the reports of MIMIC-IV-ECG are sentences; write data.mapping, a table of statement "
                "and class",
                kind="mapping",
            )
        remedy = "expected the files of MIMIC-IV-ECG 1.0"
        listed = read_table(self.folder / "record_list.csv", columns=("subject_id", "study_id", "path"), remedy=remedy)
        reports = read_table(self.folder / "machine_measurements.csv", columns=("study_id",), remedy=remedy)
        said = _reports(reports)
        given = [said.get(row["study_id"], frozenset()) for row in listed.rows]
        cells = CellReader(listed)
        study, subject = (_numbers(cells, name) for name in ("study_id", "subject_id"))
        places = [Place(row["path"]) for row in listed.rows]
        return _listing(self, study, subject, given, places, {}, cells.findings)


PUBLIC_SETS: Mapping[str, type[Collection]] = {each.name: each for each in (Cinc2021, Code15, MimicIvEcg)}


def public_set(
    name: str, folder: Path, *, form: Form, seed: int, mapping: str | None, for_test_only: bool = False
) -> Collection:
    """The collection called ``name`` in ``folder``; what ``form`` leaves at its default is as its makers store it."""
    usual = PUBLIC_SETS[name](folder).form
    changed = {key: value for key, value in vars(form).items() if value != getattr(Form(), key)}
    return PUBLIC_SETS[name](folder, form=replace(usual, **changed), seed=seed, mapping=mapping,
                             for_test_only=for_test_only)  # fmt: skip


def _listing(
    source: Collection,
    ecg_id: Int[np.ndarray, "record"],
    patient_id: Int[np.ndarray, "record"],
    given: Sequence[frozenset[str]],
    places: Sequence[Place],
    usual: Mapping[str, str],
    damage: Sequence[Finding] = (),
) -> Listing:
    codes, statements = statement_matrix(given)
    if source.mapping:
        classes = read_mapping(source.folder, source.mapping, codes)
    else:
        classes = {code: usual[code] for code in codes if code in usual}
    names, labels = class_labels(statements, codes, classes)
    fold = make_folds(patient_id, labels, seed=source.seed)
    findings = [*damage, *fold_findings(source.folder, fold), *class_findings(source.folder, names, labels, fold)]
    if not names:
        findings.append(
            Finding("labels", f"{source.folder}: no statement of its records is a class; write data.mapping")
        )
    return Listing(source.folder, ecg_id, tuple(map(str, ecg_id.tolist())), patient_id, fold, codes, statements,
                   tuple(places), classes, tuple(findings))  # fmt: skip


def _numbers(cells: CellReader, heading: str) -> Int[np.ndarray, "record"]:
    """A column of whole numbers; where one is none, a number that nobody has."""
    return np.array(
        [cells.whole(row, heading, "identifiers", -1 - row) for row in range(len(cells.table.rows))], np.int64
    )


def _diagnoses(header: Path) -> frozenset[str]:
    content = read_regular(header, most_bytes=_MOST_HEADER_BYTES, remedy="fetch the file again")
    line = _DIAGNOSES.search(content)
    text = line[1].decode("ascii", "replace") if line else ""
    return frozenset(code.strip() for code in text.split(",") if code.strip())


def _exam_rows(path: Path) -> dict[int, int]:
    """Row of each exam in a part; none where the part is not there."""
    if not path.is_file():
        return {}
    h5py = extra("h5py", path)
    try:
        with h5py.File(path, "r") as file:
            exams = np.asarray(file["exam_id"])
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: has no exam_id that h5py reads ({error}); fetch it again") from error
    return {int(exam): row for row, exam in enumerate(exams) if exam}  # a last row of zeros belongs to nobody


def _reports(table: Table) -> dict[str, frozenset[str]]:
    """What the machine said of each study, line by line."""
    return {row["study_id"]: frozenset(_lines(row)) for row in table.rows}


def _lines(row: Mapping[str, str]) -> Iterator[str]:
    return (cell for name, cell in row.items() if name.startswith("report_") and cell)
