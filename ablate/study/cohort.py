"""The records that a study asks for, prepared on this machine."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ablate import settings
from ablate.ecg.cohort import open_cohort
from ablate.ecg.joint import Joint
from ablate.ecg.preparation import prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.public_set import PUBLIC_SETS, public_set
from ablate.ecg.record_table import RecordTable
from ablate.ecg.source import Source
from ablate.ecg.synthetic import Synthetic
from ablate.ecg.view import View
from ablate.errors import DataError
from ablate.study.spec import DataSpec, ExternalSpec, Spec


def source_of(spec: Spec, *, data_dir: Path | None = None) -> Source:
    """Where the study's records come from.

    Args:
        spec: the study.
        data_dir: folder of PTB-XL; ``ABLATE_DATA`` where not given, not needed for a synthetic cohort.

    Raises:
        DataError: PTB-XL is asked for and its folder is not known or holds something else.
    """
    return source_of_data(spec.data, data_dir=data_dir)


def source_of_data(data: DataSpec, *, data_dir: Path | None = None) -> Source:
    """The same for what is declared of records alone.

    Raises:
        DataError: as ``source_of``.
    """
    inner = _own_source(data, data_dir=data_dir)
    return Joint(inner, _external_source(data.external), data.task) if data.external else inner


def _external_source(external: ExternalSpec) -> Source:
    folder = Path(external.folder).expanduser().absolute()
    if external.source == "table":
        return RecordTable(
            folder=folder, form=external.form, mapping=external.mapping, table=external.table or "",
            columns=external.columns, for_test_only=True,
        )  # fmt: skip
    return public_set(external.source, folder, form=external.form, seed=0, mapping=external.mapping, for_test_only=True)


def _own_source(data: DataSpec, *, data_dir: Path | None) -> Source:
    if data.source == "synthetic":
        return Synthetic(n_records=data.n_records or 0, seed=data.seed)
    if data.source == "table":
        return _table_source(data, data_dir=data_dir)
    if data.source in PUBLIC_SETS:
        folder = settings.data_dir(data_dir)
        return public_set(data.source, folder, form=data.form, seed=data.seed, mapping=data.mapping)
    return PtbXl(settings.data_dir(data_dir))


def _table_source(data: DataSpec, *, data_dir: Path | None) -> RecordTable:
    """The records of ``data.table``, whose folder is the one of the data, or else the working folder."""
    table = settings.data_dir(data_dir, otherwise=Path.cwd()) / (data.table or "")
    return RecordTable(
        folder=table.parent, form=data.form, seed=data.seed, mapping=data.mapping, table=table.name,
        columns=data.columns,
    )  # fmt: skip


def prepare_cohorts(
    spec: Spec,
    *,
    data_dir: Path | None = None,
    n_processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[View, Path]:
    """Folder of prepared arrays for each view of the records that an arm of the study has; each is built once.

    Raises:
        DataError: records are missing or damaged, the arrays cannot be written, or two views have other records.
    """
    folders: dict[View, Path] = {}
    for subject in spec.all_subjects():
        if subject.view not in folders:
            folders[subject.view] = prepare_cohort(
                spec, view=subject.view, data_dir=data_dir, n_processes=n_processes, progress=progress
            )
    _check_same_records(folders)
    return folders


def _check_same_records(folders: Mapping[View, Path]) -> None:
    """See that blocks stay paired: every view has the same records of the same patients in the same rows."""
    cohorts = [(view, open_cohort(folder)) for view, folder in folders.items()]
    for view, cohort in cohorts[1:]:
        first_view, first = cohorts[0]
        if not (np.array_equal(cohort.ecg_id, first.ecg_id) and np.array_equal(cohort.patient_id, first.patient_id)):
            odd = np.setxor1d(cohort.ecg_id, first.ecg_id)
            raise DataError(
                f"{cohort.folder}: the records at {view} are not those at {first_view}: {len(odd)} are in one of them "
                f"only, the first is ecg_id {odd[0] if len(odd) else '?'}; arms are compared on the same records, so "
                "mend its files or take it out of the table of records"
            )


def prepare_cohort(
    spec: Spec,
    *,
    view: View | None = None,
    data_dir: Path | None = None,
    n_processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Folder of the study's prepared arrays, built unless it is there.

    Args:
        spec: the study.
        view: how the records are seen; by default as ``[data]`` says.
        data_dir: as in ``source_of``.
        n_processes: how many read and filter.
        progress: called with the number of records done and in all.

    Raises:
        DataError: records are missing or damaged, or the arrays cannot be written.
    """
    view = view or spec.data.view
    return prepare(
        source_of(spec, data_dir=data_dir),
        fs_hz=view.fs_hz,
        preprocessing=view.preprocessing,
        leads=view.leads,
        n_processes=n_processes,
        progress=progress,
        damaged="skip" if spec.data.skip_damaged else "raise",
    )
