"""The subject of a trial: which encoder with which weights, and how it sees the records.

A study has one in ``[encoder]`` and ``[data]``; an arm or a context may say otherwise for each part of it. Records,
split, subset and order stay those of the block, so that arms with other subjects are compared in pairs all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import TypeAdapter

from ablate.ecg.view import View
from ablate.model.catalogue import EncoderSpec, Precision, Weights

if TYPE_CHECKING:
    from ablate.study.spec import DataSpec

OF_ENCODER = {"encoder": "name", "weights": "weights", "precision": "precision"}  # an arm's key -> that of [encoder]
OF_DATA = ("preprocessing", "fs_hz", "leads", "window_s")  # an arm's keys that are those of [data]
SUBJECT_KEYS = (*OF_ENCODER, *OF_DATA)
OF_ROUTINE = (*OF_ENCODER, "window_s")  # those that only post-training has
_ENCODER = TypeAdapter(EncoderSpec)


@dataclass(frozen=True)
class ArmSubject:
    """What an arm trains otherwise than the study's ``[encoder]`` and ``[data]`` say; what is left out is theirs.

    Args:
        encoder: a name in ``ablate encoder list`` or ``FILE.py:FUNCTION``; or a table as ``[encoder]`` is.
        weights: as in ``[encoder]``.
        precision: as in ``[encoder]``.
        preprocessing: as in ``[data]``.
        fs_hz: as in ``[data]``.
        leads: as in ``[data]``.
        window_s: as in ``[data]``.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    encoder: str | None = None
    weights: Weights | None = None
    precision: Precision | None = None
    preprocessing: str | None = None
    fs_hz: int | None = None
    leads: str | tuple[str, ...] | None = None
    window_s: float | None = None

    def given(self) -> dict[str, Any]:
        """What it says, by key."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class Subject:
    """What one arm trains in one context.

    Attributes:
        data: the study's ``[data]`` with what the arm and the context say.
        encoder: its ``[encoder]`` likewise; None where a routine of the user's own has none.
    """

    data: "DataSpec"
    encoder: EncoderSpec | None

    @property
    def view(self) -> View:
        """Which prepared arrays it needs."""
        return self.data.view

    def with_changes(self, changes: Mapping[str, Any]) -> "Subject":
        """The subject with other parts.

        Args:
            changes: by the keys of ``SUBJECT_KEYS``.

        Raises:
            ValueError: a part cannot be so.
        """
        if not changes:
            return self
        seen = self.data.model_dump() | {key: changes[key] for key in OF_DATA if key in changes}
        return Subject(type(self.data).model_validate(seen), self._encoder_with(changes))

    def _encoder_with(self, changes: Mapping[str, Any]) -> EncoderSpec | None:
        if self.encoder is None:
            return None
        own = {field.name: getattr(self.encoder, field.name) for field in fields(self.encoder)}
        return _ENCODER.validate_python(
            own | {name: changes[key] for key, name in OF_ENCODER.items() if key in changes}
        )


def moved(arms: Mapping[str, Any], subjects: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arms without their subjects, and the subjects by arm; ``subjects`` are those that stand apart already."""
    plain: dict[str, Any] = {}
    apart = dict(subjects)
    for arm, table in arms.items():
        plain[arm] = table
        if not isinstance(table, Mapping) or not set(table) & set(SUBJECT_KEYS):
            continue
        own = {key: value for key, value in table.items() if key in SUBJECT_KEYS}
        if isinstance(own.get("encoder"), Mapping):
            given = dict(own.pop("encoder"))
            own |= {key: given.pop(name) for key, name in OF_ENCODER.items() if name in given} | given
        apart[arm] = own
        plain[arm] = {key: value for key, value in table.items() if key not in SUBJECT_KEYS}
    return plain, apart
