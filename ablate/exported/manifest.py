"""``model.json``: all that is known of an exported model beside its weights; read without torch, store or study."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablate import digest
from ablate.errors import CheckpointError

VERSION: Literal[1] = 1
MANIFEST, WEIGHTS, CARD = "model.json", "weights.safetensors", "README.md"
_EXPECTED = "expected a folder that `ablate export` wrote"
_AGAIN = "copy or export it again"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Origin(_Part):
    """Which training of which study a model is.

    Attributes:
        training: ``replicate``, one that the study confirmed; ``retrained``, all training folds by the sealed params.
        title: the arm as people name it.
        replicate: whose seed it has, from 0 as in the names of slots.
        search: whose chosen params it has, where the study has independent searches.
    """

    training: Literal["replicate", "retrained"]
    study: str
    question: str
    arm: str
    title: str
    context: dict[str, Any]
    replicate: int
    search: int
    seed: int


class Encoder(_Part):
    """The network below the head.

    Attributes:
        name: as the study names it; of a file, its name in the model's folder.
        weights: what it started from, of a file its name.
        source: SHA-256 of the file that makes it; None where it is one of the package or an installed one.
    """

    name: str
    weights: str
    precision: Literal["fp32", "bf16"]
    source: str | None = None


class Records(_Part):
    """What the model takes, and what is done to it before.

    Attributes:
        leads: in their order.
        n_window: samples that the encoder gets at once; None for whole records.
        preprocessing_version: of its arithmetic.
    """

    fs_hz: int
    duration_s: int
    leads: tuple[str, ...]
    n_window: int | None
    preprocessing: str
    preprocessing_version: int


class Digests(_Part):
    """What tells these weights, and what they were trained with, from any other.

    Attributes:
        weights: SHA-256 of the file of weights.
        spec: of the study.
    """

    weights: str
    spec: str
    data: str
    encoder: str
    code: str
    environment: str


class Manifest(_Part):
    """An exported model.

    Attributes:
        version: of this file.
        ablate: version of the package that wrote it.
        data: ``[data]`` of the study, with what the arm changes in it.
        thresholds: by class; from this probability on a record counts as positive. The largest F1 on the validation
            records; None for a class that lacks an outcome there.
        params: every hyper-parameter of its training.
        scores: of this very model, by ``val_auroc``, ``test_auroc``, …; ``_last`` are those of the last epoch.
        class_scores: by split and class, AUROC and AUPRC; None for a class without both outcomes.
        best_epoch: the chosen epoch, of the last stage that was trained.
        n_train: records that it was trained on.
        notes: what was done otherwise than asked.
    """

    version: Literal[1] = VERSION
    ablate: str
    origin: Origin
    encoder: Encoder
    records: Records
    data: dict[str, Any]
    classes: tuple[str, ...] = Field(min_length=1)
    thresholds: dict[str, float | None]
    params: dict[str, Any]
    scores: dict[str, float | None]
    class_scores: dict[str, dict[str, tuple[float | None, float | None]]]
    best_epoch: int
    n_train: int
    digests: Digests
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """As it stands in the file."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """What ``model.json`` in ``folder`` says; the weights are looked at by ``check_weights``.

    Raises:
        CheckpointError: it is missing, damaged or of another version.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {_EXPECTED}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged, it is not JSON; {_AGAIN}") from error
    version = document.get("version") if isinstance(document, Mapping) else None
    if version != VERSION:
        raise CheckpointError(
            f"{path}: version {version!r}; this ablate reads version {VERSION}, so take the one that wrote it, "
            "or export the model again"
        )
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {key}: {first['msg']}; {_AGAIN}") from error


def check_weights(folder: Path, manifest: Manifest) -> Path:
    """The file of weights, seen to be the one that was exported.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = folder / WEIGHTS
    try:
        found = digest.of_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    if found != manifest.digests.weights:
        raise CheckpointError(
            f"{path}: damaged, its SHA-256 begins with {found[: digest.SHORT]}, {MANIFEST} says "
            f"{manifest.digests.weights[: digest.SHORT]}; {_AGAIN}"
        )
    return path
