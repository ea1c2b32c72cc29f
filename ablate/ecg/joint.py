"""Two collections as one cohort: one to learn from and be tested on, and another that is only tested on, as fold 11."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ablate import digest
from ablate.ecg.source import EXTERNAL_FOLD, EXTERNAL_OFFSET, Reading, Records, Source
from ablate.ecg.task import OWN_TASK
from ablate.errors import DataError

_PREFIX = "external: "  # of its statements, which may have the names of others


@dataclass(frozen=True)
class Joint:
    """``inner`` with all records of ``external`` behind it; both have the classes of ``task``.

    Records and patients of the external collection have numbers from ``EXTERNAL_OFFSET`` on.
    """

    inner: Source
    external: Source
    task: str

    reads_files = True

    @property
    def name(self) -> str:
        """Of both."""
        return f"{self.inner.name}+{self.external.name}"

    def digest(self, fs_hz: int = 100) -> str:
        """Of both."""
        return digest.of_json([self.inner.digest(fs_hz), self.external.digest(fs_hz), self.task])

    def identity(self) -> str:
        """Of both."""
        return digest.of_json([self.inner.identity(), self.external.identity(), self.task])

    def stored_hz(self, fs_hz: int) -> int:
        """Rate of the inner collection's files."""
        return self.inner.stored_hz(fs_hz)

    def records(self) -> Records:
        """The records of both; those of the external collection are all in fold 11.

        Raises:
            DataError: one of them cannot be listed, or the external one has a class that the task has not.
        """
        inner, external = self.inner.records(), self.external.records()
        classes = inner.classes[self.task]
        codes = (*inner.codes, *(f"{_PREFIX}{code}" for code in external.codes))
        statements = np.zeros((len(inner.ecg_id) + len(external.ecg_id), len(codes)), bool)
        statements[: len(inner.ecg_id), : len(inner.codes)] = inner.statements
        statements[len(inner.ecg_id) :, len(inner.codes) :] = external.statements
        return Records(
            np.concatenate([inner.ecg_id, external.ecg_id + EXTERNAL_OFFSET]),
            np.concatenate([inner.patient_id, external.patient_id + EXTERNAL_OFFSET]),
            np.concatenate([inner.fold, np.full(len(external.ecg_id), EXTERNAL_FOLD)]),
            codes,
            statements,
            {self.task: {**classes, **self._external_classes(external, classes)}},
        )

    def _external_classes(self, external: Records, classes: Mapping[str, str]) -> dict[str, str]:
        own = external.classes.get(self.task) or external.classes[OWN_TASK]
        ours = set(classes.values())
        if unknown := sorted(set(own.values()) - ours):
            raise DataError(
                f"{self.external.name}: class {unknown[0]!r} of the external records is none of "
                f"{', '.join(sorted(ours))}; join its labels to them by data.external.mapping",
                kind="mapping",
            )
        return {f"{_PREFIX}{code}": class_name for code, class_name in own.items()}

    def read(self, ecg_id: int, fs_hz: int) -> Float32[np.ndarray, "lead sample"]:
        """Signal of a record of either.

        Raises:
            DataError: as theirs.
        """
        return self.reading(ecg_id, fs_hz).signal

    def reading(self, ecg_id: int, fs_hz: int) -> Reading:
        """The same with what was done to it.

        Raises:
            DataError: as theirs.
        """
        if ecg_id < EXTERNAL_OFFSET:
            return self.inner.reading(ecg_id, fs_hz)
        return self.external.reading(ecg_id - EXTERNAL_OFFSET, fs_hz)
