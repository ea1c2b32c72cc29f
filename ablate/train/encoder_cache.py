"""Encoders that this process has loaded, copied for each trial, since loading costs more than copying."""

import copy
from collections import OrderedDict
from pathlib import Path
from typing import cast

from torch import nn

from ablate.model.encoder import Encoder, EncoderSpec, encoder_digest, load_encoder
from ablate.own_code import source_of

N_KEPT = 4  # a study may compare several

_encoder_cache: OrderedDict[tuple[object, ...], tuple[Encoder, str]] = OrderedDict()


def take(spec: EncoderSpec, *, seed: int) -> tuple[Encoder, str]:
    """A fresh copy of the encoder that ``spec`` names, and its digest.

    Args:
        spec: which encoder.
        seed: of random weights; they are made anew each time.

    Raises:
        SpecError: nothing has that name.
        CheckpointError: the weights are missing, damaged, unsafe or of another shape.
    """
    if spec.is_random:
        return load_encoder(spec, seed=seed), encoder_digest(spec, seed=seed)
    key = (spec, *_file_state(spec))
    if key not in _encoder_cache:
        _encoder_cache[key] = (load_encoder(spec), encoder_digest(spec))
        while len(_encoder_cache) > N_KEPT:
            _encoder_cache.popitem(last=False)
    _encoder_cache.move_to_end(key)
    encoder, identity = _encoder_cache[key]
    return cast(Encoder, copy.deepcopy(cast(nn.Module, encoder))), identity


def digest_of(spec: EncoderSpec) -> str:
    """Digest of the encoder that ``spec`` names; one for all seeds where its weights are random.

    Raises:
        SpecError: nothing has that name.
        CheckpointError: the weights' file is missing.
    """
    kept = _encoder_cache.get((spec, *_file_state(spec)))
    return encoder_digest(spec) if kept is None else kept[1]


def _file_state(spec: EncoderSpec) -> tuple[int, ...]:
    """Size and time of the files of weights and of an own encoder, so that a changed one is loaded again."""
    source = source_of(spec.name)
    state: list[int] = []
    for file in [Path(str(spec.weights)).expanduser(), *([source.file] if source else [])]:
        try:
            stat = file.stat()
        except OSError:
            continue
        state += [stat.st_size, stat.st_mtime_ns]
    return tuple(state)
