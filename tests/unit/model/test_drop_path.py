import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model.catalogue import Input, Net1DShape
from ablate.model.drop_path import DropPath, Mode, rates, set_drop_path
from ablate.model.net1d import Net1D

SHAPE = Net1DShape(16, (16, 32, 32), (1, 2, 1), 16, kernel_size=8)


def network(seed: int = 0, *, channels_last: bool = True) -> Net1D:
    torch.manual_seed(seed)
    return Net1D(SHAPE, Input(100, 12), channels_last=channels_last).train()


def factors(n_records: int, rate: float, *, mode: Mode, generator: torch.Generator) -> torch.Tensor:
    """What a layer multiplies each record's branch by."""
    layer = DropPath().train()
    layer.rate, layer.mode, layer.generator = rate, mode, generator
    return layer(torch.ones(n_records), torch.zeros(n_records), lambda x: x)  # type: ignore[no-any-return]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_linear_rates_rise_from_zero_to_the_last_block() -> None:
    assert rates(5, 0.4, schedule="linear") == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert rates(3, 0.4, schedule="constant") == [0.4, 0.4, 0.4]
    assert rates(1, 0.4, schedule="linear") == [0.4]


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_every_layer_gets_its_rate_mode_and_generator(schedule: str) -> None:
    net, source = network(), generator()
    set_drop_path(net, rate=0.3, schedule=schedule, mode="batch", generator=source)  # type: ignore[arg-type]
    layers = net.drop_path_layers()
    assert [layer.rate for layer in layers] == rates(len(layers), 0.3, schedule=schedule)  # type: ignore[arg-type]
    assert all(layer.mode == "batch" and layer.generator is source for layer in layers)


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_a_record_is_dropped_at_its_rate_and_scaled_by_keep(mode: str) -> None:
    rate, n_records, n_draws, source = 0.3, 10, 4000, generator()
    scales = torch.stack([factors(n_records, rate, mode=mode, generator=source) for _ in range(n_draws)])  # type: ignore[arg-type]
    assert scales.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    spread = math.sqrt(rate * (1 - rate) / n_draws)
    assert (scales > 0).float().mean(0).sub(1 - rate).abs().max() < 5 * spread


def test_fixed_count_varies_by_at_most_one_record_and_batch_keeps_all_or_none() -> None:
    source = generator()
    kept = {int((factors(16, 0.3, mode="fixed", generator=source) > 0).sum()) for _ in range(200)}
    assert kept == {11, 12}
    kept = {int((factors(16, 0.3, mode="batch", generator=source) > 0).sum()) for _ in range(50)}
    assert kept == {0, 16}


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_rate_zero_draws_nothing_and_changes_nothing(mode: str) -> None:
    source = generator()
    before = source.get_state()
    net, plain, records = network(), network(), torch.randn(4, 12, 200)
    set_drop_path(net, rate=0.0, mode=mode, generator=source)  # type: ignore[arg-type]
    assert torch.equal(net(records), plain(records))
    assert torch.equal(source.get_state(), before)


def test_no_mode_touches_the_global_generator() -> None:
    net = network()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    for mode in ("sample", "batch", "fixed"):
        set_drop_path(net, rate=0.5, mode=mode, generator=generator())  # type: ignore[arg-type]
        net(torch.ones(4, 12, 100))
    assert torch.equal(torch.rand(2), expected)


def test_eval_mode_drops_nothing() -> None:
    net, plain, x = network().eval(), network().eval(), torch.randn(4, 12, 200)
    set_drop_path(net, rate=0.9, mode="sample", generator=generator())
    assert torch.equal(net(x), plain(x))


def test_equal_generators_drop_the_same_records() -> None:
    net, x = network(), torch.randn(8, 12, 200)
    outputs = []
    for _ in range(2):
        set_drop_path(net, rate=0.5, mode="fixed", generator=generator(5))
        outputs.append(net(x))
    assert torch.equal(*outputs)


class Masked(DropPath):
    """The same draws as the fixed count, applied by multiplication: what gathering must equal."""

    def forward(self, x: Tensor, shortcut: Tensor, branch: Callable[..., Any]) -> Tensor:  # type: ignore[no-untyped-def]
        if not self.active:
            return shortcut + branch(x)
        scale = factors(len(x), self.rate, mode="fixed", generator=self.generator)  # type: ignore[arg-type]
        return shortcut + branch(x) * scale.view(-1, *[1] * (x.dim() - 1))


@pytest.mark.parametrize("channels_last", [True, False])
def test_gathering_the_kept_records_equals_multiplying_by_a_mask(channels_last: bool) -> None:
    x = torch.randn(12, 12, 400, generator=generator(1))
    gathered, masked = network(channels_last=channels_last), network(channels_last=channels_last)
    for module in list(masked.modules()):
        if hasattr(module, "drop_path"):
            module.drop_path = Masked().train()
    grads = []
    for net in (gathered, masked):
        set_drop_path(net, rate=0.5, schedule="constant", mode="fixed", generator=generator(7))
        features = net(x)
        features.square().sum().backward()
        grads.append((features.detach(), [p.grad for stage in net.stages() for p in stage]))
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-5, atol=1e-6)
    for one, other in zip(grads[0][1], grads[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_fixed_count_does_not_compute_dropped_records() -> None:
    layer, seen = DropPath().train(), []
    layer.rate, layer.mode, layer.generator = 0.75, "fixed", generator()

    def branch(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x

    layer(torch.ones(16, 2), torch.ones(16, 2), branch)
    assert seen == [4]


def test_all_records_may_be_dropped() -> None:
    layer = DropPath().train()
    layer.rate, layer.mode, layer.generator = 0.99, "fixed", generator()
    linear = nn.Linear(2, 2)
    shortcut = torch.ones(3, 2, requires_grad=True)
    out = layer(torch.ones(3, 2), shortcut, linear)
    assert torch.equal(out, shortcut)
    out.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate": 1.0}, "drop_path_rate = 1.0"),
        ({"rate": -0.1}, "drop_path_rate"),
        ({"rate": 0.1, "mode": "column"}, "drop_path_mode = 'column'"),
        ({"rate": 0.1, "schedule": "cosine"}, "drop_path_schedule = 'cosine'"),
        ({"rate": 0.1, "generator": None}, "generator"),
    ],
)
def test_what_cannot_be_set_is_named(arguments: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        set_drop_path(network(), **{"generator": generator(), **arguments})


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
@pytest.mark.parametrize("n_branches", [1, 2])
def test_a_plan_of_many_passes_drops_what_single_draws_would(mode: Mode, n_branches: int) -> None:
    layer, sizes = DropPath(n_branches=n_branches).train(), [7, 7, 16, 3]
    layer.rate, layer.mode, layer.generator = 0.4, mode, generator(3)
    one_by_one = [layer(torch.ones(n, 2), torch.zeros(n, 2), lambda x: x) for n in sizes for _ in range(n_branches)]
    layer.follow(layer.draw(sizes, generator(3)))
    planned = []
    for n in sizes:
        layer.begin_pass()
        planned += [layer(torch.ones(n, 2), torch.zeros(n, 2), lambda x: x) for _ in range(n_branches)]
    assert all(torch.equal(one, other) for one, other in zip(one_by_one, planned, strict=True))


def test_more_branches_than_were_planned_are_an_error_that_says_so() -> None:
    layer = DropPath().train()
    layer.rate = 0.4
    layer.follow(layer.draw([4, 4], generator()))
    layer.begin_pass()
    layer(torch.ones(4), torch.ones(4), lambda x: x)
    with pytest.raises(SpecError, match=r"n_branches = 1"):
        layer(torch.ones(4), torch.ones(4), lambda x: x)


@pytest.mark.parametrize("mode", ["sample", "batch", "fixed"])
def test_bf16_does_not_round_the_scale_and_keeps_the_types_of_the_shortcut(mode: Mode) -> None:
    layer = DropPath().train()
    for shortcut_type in (torch.float32, torch.bfloat16):
        layer.rate, layer.mode, layer.generator = 0.1, mode, generator(1)
        out = layer(torch.ones(400, 1), torch.zeros(400, 1, dtype=shortcut_type), lambda x: 9 * x.bfloat16())
        assert out.dtype == shortcut_type
        assert out.max() == 10.0  # 9 times 1/0.9; with 1/0.9 in bf16 it were 9.984


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_fixed_count_keeps_the_layout(channels_last: bool) -> None:
    layer = DropPath().train()
    layer.rate, layer.mode, layer.generator = 0.5, "fixed", generator(1)
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    x, layouts = torch.randn(8, 4, 1, 10).contiguous(memory_format=wanted), []

    def branch(rows: torch.Tensor) -> torch.Tensor:
        layouts.append(rows.is_contiguous(memory_format=wanted))
        return rows

    assert layer(x, x, branch).is_contiguous(memory_format=wanted) and layouts == [True]
