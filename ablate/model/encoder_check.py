"""Whether an encoder does what the routine relies on, tried on a few made-up records before anything is trained."""

from collections import Counter
from typing import cast

import torch
from torch import Tensor, nn

from ablate.errors import AblateError
from ablate.model.catalogue import EncoderSpec
from ablate.model.encoder import load_encoder, require_input
from ablate.model.encoder_role import Encoder

_N_RECORDS = 4
_RTOL, _ATOL = 1e-3, 1e-4  # kernels for one record and for several round otherwise


def faults(
    spec: EncoderSpec, *, fs_hz: int, n_leads: int, n_samples: int, starts_random: bool = False, drops_paths: bool
) -> list[str]:
    """What is wrong with an encoder for such records, a line each; nothing where it can be trained.

    Args:
        spec: which encoder with which weights.
        fs_hz: rate of the records.
        n_leads: of each record.
        n_samples: of each record, or of a window.
        starts_random: whether its weights are for no rate of their own.
        drops_paths: whether an arm wants to drop residual blocks.
    """
    try:
        encoder = load_encoder(spec)
        require_input(encoder, fs_hz=fs_hz, n_leads=n_leads, n_samples=n_samples, any_rate=starts_random)
    except AblateError as error:
        return [str(error)]
    x = torch.randn(_N_RECORDS, n_leads, n_samples, generator=torch.Generator().manual_seed(0))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            lacking = _of_output(encoder, x) or [*_of_stages(encoder), *_of_gradients(encoder, x)]
        layers = encoder.drop_path_layers()
    except Exception as error:  # somebody else's code may raise anything
        said = " ".join(str(error).split())[:160]
        lacking, layers = (
            [f"fails on records of {n_leads} leads x {n_samples} samples: {type(error).__name__}, {said}"],
            [],
        )
    if drops_paths and not layers and not lacking:
        lacking.append(
            "has no residual blocks that can be dropped, and an arm drops paths; set drop_path_rate = 0 there"
        )
    return [f"encoder.name = {spec.name!r}: {each}" for each in lacking]


def _of_output(encoder: Encoder, x: Tensor) -> list[str]:
    before = x.clone()
    with torch.no_grad():
        features = encoder(x)
        if not torch.equal(x, before):
            return ["changes its input; copy it before writing to it"]
        if features.shape != (len(x), encoder.n_features):
            return [f"gives features of shape {tuple(features.shape)}; expected {(len(x), encoder.n_features)}"]
        if not features.isfinite().all():
            return ["gives features that are not finite, NaN or infinite"]
        if not torch.equal(encoder(x), features):
            return ["gives other features each time in eval mode; its randomness must end there"]
        if not torch.allclose(encoder(x[:1]), features[:1], rtol=_RTOL, atol=_ATOL):
            return ["gives other features for a record alone than in a batch; records must not mix in eval mode"]
    return []


def _of_stages(encoder: Encoder) -> list[str]:
    seen = Counter(id(parameter) for stage in encoder.stages() for parameter in stage)
    lacking = []
    for name, parameter in cast(nn.Module, encoder).named_parameters():
        n_times = seen.pop(id(parameter), 0)
        if n_times != int(parameter.requires_grad):
            wanted = "once" if parameter.requires_grad else "nowhere, since it is frozen"
            lacking.append(f"stages() names {name} {n_times} times; expected {wanted}")
    if seen:
        lacking.append(f"stages() names {len(seen)} parameters that the network has not")
    return lacking[:3]


def _of_gradients(encoder: Encoder, x: Tensor) -> list[str]:
    module = cast(nn.Module, encoder)
    module.train()
    features = encoder(x)
    (features * torch.randn(features.shape)).sum().backward()  # type: ignore[no-untyped-call]
    module.eval()
    return [
        f"no gradient reaches stage {place} of {len(encoder.stages())}; what it computes must decide the features"
        for place, stage in enumerate(encoder.stages(), 1)
        if not any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in stage)
    ]
