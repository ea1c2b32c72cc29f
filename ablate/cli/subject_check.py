"""What is seen of a study's encoders before its first slot: that they are there, and take the records that they get."""

from itertools import product
from typing import TYPE_CHECKING

from ablate.errors import AblateError, CheckpointError, SpecError

if TYPE_CHECKING:
    from ablate.domain import Scalar
    from ablate.ecg.view import View
    from ablate.study.spec import Spec
    from ablate.study.subject import Subject


def check_subjects(spec: "Spec") -> None:
    """See that every encoder of the study and its weights are there, and that each takes the records that it gets.

    Those of the catalogue are known; an encoder of one's own, and weights from a file, are tried, and so is a routine
    of one's own, which has no encoder.

    Raises:
        SpecError: what does not fit, all of it, a line for each arm that needs another one.
        CheckpointError: the same, where all of it are weights.
    """
    if spec.routine is not None:
        if lacking := _of_routine(spec):
            raise SpecError("; ".join(lacking))
        return
    errors: dict[str, AblateError] = {}
    for subject, place in spec.all_subjects().items():
        arms = [arm for arm in spec.arms if any(spec.subject(arm, context) == subject for context in spec.contexts())]
        for error in _errors(spec, subject, arms) or _too_large(spec, subject):
            errors.setdefault(str(error), type(error)(_placed(spec, place, error)))
    if not errors:
        return
    kind = CheckpointError if all(isinstance(each, CheckpointError) for each in errors.values()) else SpecError
    raise kind("; ".join(str(each) for each in errors.values()))


def _placed(spec: "Spec", place: str, error: AblateError) -> str:
    """The error with the arm that has it, where arms differ in what they train."""
    return f"{place}: {error}" if len(spec.all_subjects()) > 1 else str(error)


def _too_large(spec: "Spec", subject: "Subject") -> list[AblateError]:
    """What keeps the store from keeping the weights of a network, where the study wants that."""
    from ablate.store.artifact import MOST_WEIGHTS_BYTES

    if spec.keep == "none" or subject.encoder is None:
        return []
    from ablate.model.encoder import classifier_bytes

    n_bytes = classifier_bytes(subject.encoder.name, n_classes=1)
    if n_bytes <= MOST_WEIGHTS_BYTES:
        return []
    return [
        SpecError(
            f"keep = {spec.keep!r}: weights of {subject.encoder.name} take {n_bytes:,} bytes, the store keeps "
            f"{MOST_WEIGHTS_BYTES:,} of one network at most; leave keep out, and train the model anew with "
            "`ablate export --retrain`"
        )
    ]


def _errors(spec: "Spec", subject: "Subject", arms: list[str]) -> list[AblateError]:
    from ablate.model import catalogue

    assert subject.encoder is not None
    try:
        entry = catalogue.entry(subject.encoder.name)
        file = catalogue.weights_file(subject.encoder)
    except AblateError as error:
        return [error]
    starts_random = subject.encoder.is_random or all(spec.point(arm, "init") == "random" for arm in arms)
    drops_paths = any(spec.most(arm, "drop_path_rate") > 0 for arm in arms)
    if entry is not None:
        lacking: list[AblateError] = [
            SpecError(each)
            for each in catalogue.unfit(subject.encoder.name, entry, subject.data, starts_random, drops_paths)
        ]
        shipped = isinstance(subject.encoder.weights, str) and subject.encoder.weights in catalogue.EMBEDDED
        return lacking or ([] if file is None or shipped else _of_weights(subject))
    from ablate.model.encoder_check import faults

    data = subject.data
    seen = faults(
        subject.encoder, fs_hz=data.fs_hz, n_leads=len(data.leads), n_samples=data.n_samples,
        starts_random=starts_random, drops_paths=drops_paths,
    )  # fmt: skip
    return [SpecError(each) for each in seen]


def _of_weights(subject: "Subject") -> list[AblateError]:
    from ablate.model.encoder import load_encoder

    assert subject.encoder is not None
    try:
        load_encoder(subject.encoder)
    except AblateError as error:
        return [error]
    return []


def _of_routine(spec: "Spec") -> list[str]:
    """What is wrong with the study's own routine, with the usual params of each arm on each view of the records."""
    from ablate.study.routine import SUBSET, routine_log
    from ablate.study.search import fixed_params, start_values
    from ablate.train.routine_check import faults

    assert spec.routine is not None
    known = spec.hyper_parameters
    tried: dict[View, dict[str, dict[str, Scalar]]] = {}
    for arm, context in product(spec.arms, spec.contexts()):
        fixed = fixed_params(spec, arm, context)
        searched = {name: domain for name, domain in spec.arm_space(arm).items() if name not in fixed}
        chosen = {**fixed, **start_values(known, searched), SUBSET: 1.0}  # of a few records a share is none
        tried.setdefault(spec.subject(arm, context).view, {}).setdefault(arm, known.complete(chosen))
    log = routine_log(spec.name, "check").with_suffix("")
    found = (each for view, params in tried.items() for each in faults(spec.routine.pinned, params, view=view, log=log))
    return list(dict.fromkeys(found))
