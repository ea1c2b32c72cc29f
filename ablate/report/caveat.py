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
_FILTERED = "Signals are filtered as ECGFounder's authors do (notch, band-pass, median baseline) before the z-score."


def caveats(spec: Spec) -> tuple[str, ...]:
    """A sentence for each thing that limits what the study's figures mean elsewhere."""
    weights, data = spec.encoder.weights, spec.data
    limits = (
        (weights in ("embedded", "synthetic"), _STAND_IN),
        (weights == "random", _RANDOM),
        (data.source == "synthetic", _SYNTHETIC_COHORT),
        (weights == "synthetic", _FAVOURABLE),
        (data.preprocessing == "ecgfounder", _FILTERED),
    )
    return tuple(sentence for applies, sentence in limits if applies)
