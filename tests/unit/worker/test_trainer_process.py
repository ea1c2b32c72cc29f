"""What a trainer sees of the machine's devices."""

import pytest

from ablate.worker.device import visible_device


@pytest.mark.parametrize(
    ("visible", "device", "expected"),
    [
        (None, "cpu", ("cpu", {})),
        (None, "cuda", ("cuda", {})),
        (None, "cuda:1", ("cuda", {"CUDA_VISIBLE_DEVICES": "1"})),
        ("4,7", "cuda:1", ("cuda", {"CUDA_VISIBLE_DEVICES": "7"})),
        ("GPU-a,GPU-b", "cuda:0", ("cuda", {"CUDA_VISIBLE_DEVICES": "GPU-a"})),
    ],
)
def test_trainer_sees_its_own_device_only(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, expected: tuple[str, dict[str, str]]
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_device(device) == expected
