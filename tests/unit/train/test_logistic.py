import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.linear import Linear

from ablate.train.logistic import Logistic


def problem(n_records: int = 64, n_features: int = 12, n_classes: int = 5) -> tuple[Tensor, Tensor, Linear]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n_records, n_features, generator=generator) * 3
    targets = (torch.rand(n_records, n_classes, generator=generator) < 0.3).float() * 0.9 + 0.05
    torch.manual_seed(1)
    return features, targets, nn.Linear(n_features, n_classes)


def test_the_closed_form_is_adamw_with_autograd_within_rounding() -> None:
    features, targets, head = problem()
    other = nn.Linear(head.in_features, head.out_features)
    other.load_state_dict(head.state_dict())
    logistic = Logistic(head, weight_decay=0.1)
    optimizer = torch.optim.AdamW(
        [{"params": [other.weight], "weight_decay": 0.1}, {"params": [other.bias], "weight_decay": 0.0}]
    )
    for step in range(200):
        rate = 0.02 * (1 - step / 200)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = torch.arange(step, step + 16) % len(features)
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(other(features[batch]), targets[batch])
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(logistic.step(features[batch], targets[batch], rate=rate), loss.detach())
    logistic.write()
    torch.testing.assert_close(head.weight, other.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.bias, other.bias, rtol=1e-4, atol=1e-5)


def test_a_restored_one_goes_on_with_the_same_bits() -> None:
    features, targets, head = problem()
    logistic = Logistic(head, weight_decay=0.1)
    for _ in range(5):
        logistic.step(features, targets, rate=0.01)
    logistic.write()
    _, _, copied = problem()
    copied.load_state_dict(head.state_dict())
    resumed = Logistic(copied, weight_decay=0.1)
    resumed.restore({name: tensor.clone() for name, tensor in logistic.state().items()})
    for one in (logistic, resumed):
        one.step(features, targets, rate=0.01)
        one.write()
    assert torch.equal(head.weight, copied.weight)
    assert torch.equal(head.bias, copied.bias)
