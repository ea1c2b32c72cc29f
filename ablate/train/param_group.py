"""Param groups: which learning rate and weight decay each parameter gets."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from ablate.errors import SpecError
from ablate.train.params import Params

Stages = Sequence[Sequence[nn.Parameter]]


def finetune_groups(model: nn.Module, stages: Stages, head: nn.Module, params: Params) -> list[dict[str, Any]]:
    """Groups of AdamW for fine-tuning: each encoder stage, then the head.

    The last stage gets ``ft_lr``, each one before it ``layer_decay`` times the rate of the next, and the head
    ``ft_lr * head_lr_ratio``. Biases and the scales of norms (parameters with fewer than two axes) are not decayed,
    as is usual for AdamW. ``peak_lr`` of a group is what the schedule multiplies.

    Raises:
        SpecError: the stages miss a parameter of ``model`` or name one twice.
    """
    groups = []
    for stage, rate in zip([*stages, list(head.parameters())], _rates(len(stages), params), strict=True):
        groups += list(_split(stage, rate, params.weight_decay))
    _check_cover(model, groups)
    return groups


def set_rates(groups: list[dict[str, Any]], factor: float) -> None:
    """Give each group ``factor`` of its peak learning rate."""
    for group in groups:
        group["lr"] = group["peak_lr"] * factor


def _rates(n_stages: int, params: Params) -> list[float]:
    encoder = [params.ft_lr * params.layer_decay ** (n_stages - 1 - i) for i in range(n_stages)]
    return [*encoder, params.ft_lr * params.head_lr_ratio]


def _split(parameters: Sequence[nn.Parameter], rate: float, weight_decay: float) -> Iterator[dict[str, Any]]:
    for decay, axes in ((weight_decay, range(2, 10)), (0.0, range(2))):
        chosen = [parameter for parameter in parameters if parameter.ndim in axes]
        if chosen:
            yield {"params": chosen, "lr": rate, "peak_lr": rate, "weight_decay": decay}


def _check_cover(model: nn.Module, groups: list[dict[str, Any]]) -> None:
    seen = Counter(id(parameter) for group in groups for parameter in group["params"])
    for name, parameter in model.named_parameters():
        n_times = seen.pop(id(parameter), 0)
        if n_times != int(parameter.requires_grad):
            wanted = "once" if parameter.requires_grad else "nowhere, since it is frozen"
            raise SpecError(f"encoder: stages() has {name} {n_times} times and should have it {wanted}; correct it")
    if seen:
        raise SpecError(f"encoder: stages() names {len(seen)} parameters that the network does not have; correct it")
