"""Caveats: what the reader must know of encoder and data before comparing anything."""

from ablate.study.spec import Spec

_STAND_IN = (
    "The encoder is a small embedded stand-in for ECGFounder, not ECGFounder itself: absolute scores and sizes "
    "of effects do not carry over to the full model."
)
_RANDOM = "The encoder starts from random weights: nothing here was pre-trained."
_SYNTHETIC_COHORT = "The cohort is synthetic: simulated ECGs with the statement codes and folds of PTB-XL, no patients."
_FAVOURABLE = (
    "The encoder was pre-trained on a second synthetic cohort with other targets, but three of its coarse "
    "groups are unions of the labels scored here: transfer is favourable by design."
)
_OWN_ROUTINE = (
    "The training is a routine of the study's author, {entry}: what it does with its seed, the validation records and "
    "the signals of the test fold is its own; labels of the test fold it never has, and all scores are computed here."
)
_FILTERED = "Signals are filtered as ECGFounder's authors do (notch, band-pass, median baseline) before the z-score."
_SEVERAL = (
    "Arms have encoders or weights of their own: a difference between them is one of whole systems, pre-training and "
    "size included, and equal numbers of epochs are not equal amounts of computing."
)


def caveats(spec: Spec) -> tuple[str, ...]:
    """A sentence for each thing that limits what the study's figures mean elsewhere."""
    subjects = list(spec.all_subjects())
    weights = {str(subject.encoder.weights) for subject in subjects if subject.encoder is not None}
    filtered = {subject.data.preprocessing == "ecgfounder" for subject in subjects}
    limits = (
        (bool(weights & {"embedded", "synthetic"}), _STAND_IN),
        (weights == {"random"}, _RANDOM),
        (spec.data.source == "synthetic", _SYNTHETIC_COHORT),
        ("synthetic" in weights, _FAVOURABLE),
        (filtered == {True}, _FILTERED),
        (spec.routine is not None, _OWN_ROUTINE.format(entry=spec.routine.entry if spec.routine else "")),
        (len({subject.encoder for subject in subjects}) > 1, _SEVERAL),
    )
    return tuple(sentence for applies, sentence in limits if applies)
