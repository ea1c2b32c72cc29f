"""The manifest of a model that is taken home, from what the store or a training says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate import __version__, digest
from ablate.ecg.preprocessing import VERSION as PREPROCESSING_VERSION
from ablate.ecg.source import DURATION_S
from ablate.errors import CheckpointError
from ablate.exported.manifest import Digests, Encoder, Manifest, Origin, Records
from ablate.outcome import Outcome
from ablate.own_code import source_of
from ablate.report import wording
from ablate.report.study_record import StudyRecord
from ablate.report.take_home import TakenModel
from ablate.store.artifact import WEIGHTS
from ablate.store.store import Store
from ablate.study.subject import Subject
from ablate.train.params import Params


@dataclass(frozen=True)
class Training:
    """What one training found and left.

    Attributes:
        weights: bytes of a safetensors file.
        params: it was given.
    """

    is_replicate: bool
    weights: bytes = field(repr=False)
    params: Mapping[str, Any]
    scores: Mapping[str, float | None]
    class_scores: Mapping[str, Mapping[str, tuple[float | None, float | None]]]
    thresholds: Mapping[str, float | None]
    digests: Mapping[str, str]
    best_epoch: int
    n_train: int
    notes: tuple[str, ...]

    @classmethod
    def kept(cls, store: Store, study: str, taken: TakenModel) -> "Training":
        """A confirmed trial of a study that keeps weights.

        Raises:
            StoreError: its weights are not there, or damaged.
        """
        row = store.result(study, taken.slot_id)
        return cls(
            is_replicate=True,
            weights=store.read_artifact(study, taken.slot_id, WEIGHTS) or b"",
            params=taken.params,
            scores=row.scores,
            class_scores=row.class_scores,
            thresholds=row.facts["thresholds"],
            digests=row.digests,
            best_epoch=row.facts["best_epoch"],
            n_train=row.facts["n_train"],
            notes=tuple(row.facts["notes"]),
        )

    @classmethod
    def anew(cls, outcome: Outcome, params: Mapping[str, Any]) -> "Training":
        """One that has just ended, with its weights."""
        return cls(
            is_replicate=False,
            weights=outcome.weights or b"",
            params=params,
            scores={name: wording.finite(score) for name, score in outcome.scores.items()},
            class_scores={
                split: {name: (wording.finite(auroc), wording.finite(auprc)) for name, (auroc, auprc) in scores.items()}
                for split, scores in outcome.class_scores.items()
            },
            thresholds=outcome.thresholds,
            digests=outcome.digests,
            best_epoch=outcome.best_epoch,
            n_train=outcome.n_train,
            notes=outcome.notes,
        )


def manifest_of(study: StudyRecord, taken: TakenModel, training: Training) -> Manifest:
    """All that is known of the model."""
    spec = study.spec
    subject = spec.subject(taken.arm, taken.context.values)
    origin = Origin(
        training="replicate" if training.is_replicate else "retrained", study=spec.name, question=spec.question,
        arm=taken.arm, title=spec.title(taken.arm), context=taken.context.values, replicate=taken.replicate,
        search=taken.search, seed=taken.seed,
    )  # fmt: skip
    return Manifest(
        ablate=__version__,
        origin=origin,
        encoder=_encoder(subject),
        records=_records(subject),
        data={key: value for key, value in subject.data.model_dump(mode="json").items() if key != "external"},
        classes=tuple(training.class_scores["val"]),
        thresholds=dict(training.thresholds),
        params=Params.from_dict(training.params).document(),
        scores=dict(training.scores),
        class_scores={split: dict(scores) for split, scores in training.class_scores.items()},
        best_epoch=training.best_epoch,
        n_train=training.n_train,
        digests=Digests(
            weights=digest.of_bytes(training.weights), spec=study.tables.spec_digest, **dict(training.digests)
        ),
        notes=training.notes,
    )


def code_of(study: StudyRecord, taken: TakenModel) -> Path | None:
    """File with the code of the encoder; None where it comes with a package.

    Raises:
        CheckpointError: it is not on this machine.
    """
    encoder = study.spec.subject(taken.arm, taken.context.values).encoder
    assert encoder is not None  # nothing else is taken home
    name = encoder.name
    source = source_of(name)
    if source is not None and not source.file.is_file():
        raise CheckpointError(
            f"encoder.name = {name!r}: there is no file {source.file} here, and the model is of no use without it; "
            "export where the study's encoder lies"
        )
    return None if source is None else source.file


def _encoder(subject: Subject) -> Encoder:
    encoder = subject.encoder
    assert encoder is not None
    source = source_of(encoder.name)
    name = encoder.name if source is None else f"{source.file.name}:{source.function}"
    code = None if source is None else digest.of_file(source.file)
    return Encoder(name=name, weights=Path(str(encoder.weights)).name, precision=encoder.precision, source=code)


def _records(subject: Subject) -> Records:
    view, window_s = subject.view, subject.data.window_s
    return Records(
        fs_hz=view.fs_hz,
        duration_s=DURATION_S,
        leads=view.leads,
        n_window=None if window_s is None or window_s >= DURATION_S else subject.data.n_samples,
        preprocessing=view.preprocessing,
        preprocessing_version=PREPROCESSING_VERSION,
    )
