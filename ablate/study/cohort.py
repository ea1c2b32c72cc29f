"""The records that a study asks for, prepared on this machine."""

from collections.abc import Callable
from pathlib import Path

from ablate import settings
from ablate.ecg.joint import Joint
from ablate.ecg.preparation import prepare
from ablate.ecg.ptbxl import PtbXl
from ablate.ecg.public_set import PUBLIC_SETS, public_set
from ablate.ecg.record_table import RecordTable
from ablate.ecg.source import Source
from ablate.ecg.synthetic import Synthetic
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


def prepare_cohort(
    spec: Spec,
    *,
    data_dir: Path | None = None,
    n_processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Folder of the study's prepared arrays, built unless it is there.

    Raises:
        DataError: records are missing or damaged, or the arrays cannot be written.
    """
    return prepare(
        source_of(spec, data_dir=data_dir),
        fs_hz=spec.data.fs_hz,
        preprocessing=spec.data.preprocessing,
        n_processes=n_processes,
        progress=progress,
        damaged="skip" if spec.data.skip_damaged else "raise",
    )
