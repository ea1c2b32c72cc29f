"""What every encoder promises, whatever it is made of."""

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model import catalogue
from ablate.model.catalogue import EncoderSpec, encoder_digest
from ablate.model.drop_path import DropPath, set_drop_path
from ablate.model.encoder import Classifier, Encoder, load_encoder


class OwnEncoder(nn.Module):
    """What a user's package may offer."""

    n_features, fs_hz, n_leads, n_samples = 6, 100, 12, None

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer, self.drop_path = nn.Linear(12, 6), nn.Linear(6, 6), DropPath()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(x.mean(2))
        return self.drop_path(hidden, hidden, lambda part: torch.relu(self.outer(part)))

    def stages(self) -> list[list[nn.Parameter]]:
        return [list(self.inner.parameters()), list(self.outer.parameters())]

    def drop_path_layers(self) -> list[DropPath]:
        return [self.drop_path]


def no_encoder() -> nn.Module:
    return nn.Linear(2, 2)


@pytest.fixture(autouse=True)
def entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real installed distribution on the path that offers encoders."""
    info = tmp_path / "own_encoders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-encoders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{catalogue.ENTRY_POINTS}]\nown = {__name__}:OwnEncoder\nwrong = {__name__}:no_encoder\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


N_SECONDS = 4  # of records for encoders that take any length

SPECS = [
    EncoderSpec("net1d_small", "random"),
    EncoderSpec("net1d_small", "embedded"),
    EncoderSpec("net1d_small", "synthetic"),
    EncoderSpec("vit_small", "random"),
    EncoderSpec("xresnet1d50", "random"),
    pytest.param(EncoderSpec("xresnet1d101", "random"), marks=pytest.mark.slow),
    EncoderSpec("inception1d", "random"),
    EncoderSpec("resnet1d_wang", "random"),
    EncoderSpec("s4d", "random"),
    EncoderSpec("own", "random"),
    pytest.param(EncoderSpec("st_mem_base", "random"), marks=pytest.mark.slow),
    pytest.param(EncoderSpec("ecgfounder", "random"), marks=pytest.mark.slow),
    pytest.param(EncoderSpec("ecgfounder_1lead", "random"), marks=pytest.mark.slow),
]


@pytest.fixture(params=SPECS, ids=lambda spec: f"{spec.name}-{spec.weights}")
def spec(request: pytest.FixtureRequest) -> EncoderSpec:
    return request.param


@pytest.fixture
def encoder(spec: EncoderSpec) -> Iterator[Encoder]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield load_encoder(spec)


def records(encoder: Encoder, n_records: int = 4) -> Tensor:
    return torch.randn(n_records, encoder.n_leads, encoder.n_samples or N_SECONDS * encoder.fs_hz)


def parameters(encoder: Encoder) -> list[nn.Parameter]:
    return [parameter for stage in encoder.stages() for parameter in stage]


def test_it_is_an_encoder_in_eval_mode(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder) and isinstance(encoder, nn.Module)
    assert not encoder.training


def test_features_have_their_size_and_are_finite(encoder: Encoder) -> None:
    features = encoder(records(encoder))
    assert features.shape == (4, encoder.n_features) and features.dtype == torch.float32
    assert features.isfinite().all()


def test_equal_calls_give_equal_bits_and_draw_nothing(encoder: Encoder) -> None:
    x = records(encoder)
    state = torch.get_rng_state()
    assert torch.equal(encoder(x), encoder(x))
    assert torch.equal(torch.get_rng_state(), state)


def test_features_of_a_record_do_not_depend_on_the_others(encoder: Encoder) -> None:
    x = records(encoder)
    torch.testing.assert_close(encoder(x.flip(0)).flip(0), encoder(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(x[:1])[0], encoder(x)[0], rtol=1e-4, atol=1e-5)


def test_loading_twice_gives_equal_bits_and_one_digest(encoder: Encoder, spec: EncoderSpec) -> None:
    x = records(encoder, 2)
    assert torch.equal(load_encoder(spec)(x), encoder(x))
    assert encoder_digest(spec) == encoder_digest(spec)


def batch_norms(encoder: Encoder) -> list[nn.BatchNorm1d]:
    assert isinstance(encoder, nn.Module)
    return [part for part in encoder.modules() if isinstance(part, nn.BatchNorm1d)]


def wake(encoder: Encoder) -> None:
    """Branches that start at zero, as published, would hide what they do."""
    for norm in batch_norms(encoder):
        nn.init.ones_(norm.weight)


def test_scoring_changes_no_buffer_and_training_only_running_statistics(encoder: Encoder) -> None:
    assert isinstance(encoder, nn.Module)
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(records(encoder, 2)).sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())
    encoder.train()(records(encoder, 2)).sum().backward()
    changed = {id(buffer) for name, buffer in encoder.named_buffers() if not torch.equal(buffer, before[name])}
    assert changed == {id(buffer) for norm in batch_norms(encoder) for buffer in norm.buffers()}


def test_stages_cover_every_trainable_parameter_once_and_all_learn(encoder: Encoder) -> None:
    assert isinstance(encoder, nn.Module)
    listed = [id(parameter) for parameter in parameters(encoder)]
    trainable = [id(parameter) for parameter in encoder.parameters() if parameter.requires_grad]
    assert sorted(listed) == sorted(trainable) and len(set(listed)) == len(listed)
    wake(encoder)
    encoder.train()(records(encoder)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters(encoder))


def test_stages_go_from_input_to_output(encoder: Encoder) -> None:
    first, last = encoder.stages()[0], encoder.stages()[-1]
    assert isinstance(encoder, nn.Module)
    order = [id(parameter) for parameter in encoder.parameters()]
    assert order.index(id(first[0])) < order.index(id(last[0]))


def test_drop_path_acts_in_training_alone_and_follows_its_generator(encoder: Encoder) -> None:
    assert isinstance(encoder, nn.Module) and encoder.drop_path_layers()
    wake(encoder)
    for norm in batch_norms(encoder):
        norm.momentum = 0.0  # statistics stay, so that scores before and after training can be compared
    x = records(encoder, 8)
    plain, undropped = encoder(x), encoder.train()(x)
    for mode in ("sample", "batch", "fixed"):
        outputs = []
        for seed in (1, 1, 2):
            source = torch.Generator().manual_seed(seed)
            set_drop_path(encoder, rate=0.5, schedule="constant", mode=mode, generator=source)
            outputs.append(encoder.train()(x).detach())
        assert torch.equal(outputs[0], outputs[1])
        assert mode == "batch" or not torch.equal(outputs[0], outputs[2])
        assert torch.equal(encoder.eval()(x), plain)
    set_drop_path(encoder, rate=0.0)
    assert torch.equal(encoder.train()(x), undropped)
    if not batch_norms(encoder):
        torch.testing.assert_close(undropped, plain, rtol=1e-5, atol=1e-6)


def test_the_classifier_gives_one_logit_for_each_class(encoder: Encoder) -> None:
    classifier = Classifier(encoder, 7, dropout=0.3).eval()
    assert classifier(records(encoder, 2)).shape == (2, 7)
    assert classifier.head.in_features == encoder.n_features


def test_random_weights_follow_the_seed(spec: EncoderSpec) -> None:
    if spec.weights != "random":
        pytest.skip("these weights are given")
    one, other = load_encoder(spec, seed=1), load_encoder(spec, seed=2)
    assert not torch.equal(parameters(one)[0], parameters(other)[0])


def test_an_entry_point_that_gives_no_encoder_is_refused() -> None:
    assert {"own", "wrong"} <= set(catalogue.names())
    with pytest.raises(SpecError, match=r"encoder.name = 'wrong'.*gives no encoder"):
        load_encoder(EncoderSpec("wrong", "random"))
