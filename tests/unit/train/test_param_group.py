from typing import Any

import pytest
import torch
from torch import nn

from ablate.errors import SpecError
from ablate.model.encoder import Classifier, EncoderSpec, load_encoder
from ablate.train.param_group import finetune_groups, set_rates
from ablate.train.params import Params


def classifier(name: str = "net1d_small") -> tuple[Any, ...]:
    encoder = load_encoder(EncoderSpec(name, "random"))
    return encoder, Classifier(encoder, 5)


@pytest.mark.parametrize("name", ["net1d_small", "vit_small"])
def test_groups_cover_each_trained_parameter_once(name: str) -> None:
    encoder, model = classifier(name)
    groups = finetune_groups(model, encoder.stages(), model.head, Params(layer_decay=0.7))
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)


def test_rates_decay_by_stage_from_the_last_one_and_the_head_has_its_ratio() -> None:
    encoder, model = classifier()
    stages = encoder.stages()
    groups = finetune_groups(model, stages, model.head, Params(ft_lr=1e-3, layer_decay=0.5, head_lr_ratio=10))
    rate_of = {id(parameter): group["peak_lr"] for group in groups for parameter in group["params"]}
    for i, stage in enumerate(stages):
        expected = 1e-3 * 0.5 ** (len(stages) - 1 - i)
        assert [rate_of[id(parameter)] for parameter in stage] == pytest.approx([expected] * len(stage))
    assert rate_of[id(model.head.weight)] == rate_of[id(model.head.bias)] == pytest.approx(1e-2)


def test_biases_are_not_decayed() -> None:
    encoder, model = classifier()
    for group in finetune_groups(model, encoder.stages(), model.head, Params(weight_decay=0.05)):
        assert group["weight_decay"] == (0.05 if group["params"][0].ndim > 1 else 0.0)
        assert len({parameter.ndim > 1 for parameter in group["params"]}) == 1


def test_stages_that_miss_or_repeat_a_parameter_are_refused() -> None:
    encoder, model = classifier()
    stages = encoder.stages()
    with pytest.raises(SpecError, match=r"first_conv.*0 times"):
        finetune_groups(model, stages[1:], model.head, Params())
    with pytest.raises(SpecError, match="2 times"):
        finetune_groups(model, [*stages, stages[0][:1]], model.head, Params())
    with pytest.raises(SpecError, match="does not have"):
        finetune_groups(model, [*stages, [nn.Parameter(torch.zeros(2))]], model.head, Params())


def test_the_schedule_multiplies_every_group() -> None:
    encoder, model = classifier()
    groups = finetune_groups(model, encoder.stages(), model.head, Params(layer_decay=0.5, head_lr_ratio=3))
    set_rates(groups, 0.25)
    assert all(group["lr"] == 0.25 * group["peak_lr"] for group in groups)
