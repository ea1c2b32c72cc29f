"""Devices are dealt by turns, without touching CUDA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import LaunchError
from ablate.worker.device import deal, gpu_name, visible_device, visible_devices


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_devices_are_numbered_as_torch_numbers_those_that_are_visible(two_devices: None) -> None:
    assert visible_devices() == ["cuda:0", "cuda:1"]


def test_devices_are_dealt_by_turns(two_devices: None) -> None:
    assert deal(3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert deal(3, device="cuda") == ["cuda:0", "cuda:1", "cuda:0"]


def test_everybody_gets_the_device_that_was_named(two_devices: None) -> None:
    assert deal(2, device="cuda:1") == ["cuda:1", "cuda:1"]
    assert deal(2, device="cpu") == ["cpu", "cpu"]


def test_cpu_where_there_is_nothing_else(no_device: None) -> None:
    assert deal(2) == ["cpu", "cpu"]


@pytest.mark.parametrize("device", ["cuda", "cuda:2", "tpu"])
def test_device_that_is_not_there_is_refused(no_device: None, device: str) -> None:
    with pytest.raises(LaunchError, match=f"--device {device}.*no CUDA device"):
        deal(1, device=device)


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Let the driver's tool list what it is given."""

    def answer(text: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return answer


UNEQUAL = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1a)\nGPU 1: NVIDIA L4 (UUID: GPU-2b)"
SLICED = """GPU 0: NVIDIA A100 (UUID: GPU-1a)
  MIG 3g.20gb     Device  0: (UUID: MIG-x)
  MIG 1g.5gb      Device  1: (UUID: MIG-y)
GPU 1: NVIDIA L4 (UUID: GPU-2b)"""


def test_each_gpu_is_called_as_its_maker_does(listing: Callable[..., Any]) -> None:
    listing(UNEQUAL)
    assert visible_devices() == ["cuda:0", "cuda:1"]
    assert [gpu_name(device) for device in visible_devices()] == ["NVIDIA H100 80GB HBM3", "NVIDIA L4"]


@pytest.mark.parametrize("allowed", ["1,0", "GPU-2b,GPU-1a", "GPU-2,0"])
def test_names_follow_the_order_that_is_visible(
    listing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    listing(UNEQUAL)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert [gpu_name(device) for device in visible_devices()] == ["NVIDIA L4", "NVIDIA H100 80GB HBM3"]


def test_slices_of_a_gpu_are_devices_of_their_own(listing: Callable[..., Any]) -> None:
    listing(SLICED)
    assert visible_devices() == ["cuda:0", "cuda:1", "cuda:2"]
    assert gpu_name("cuda:1") == "NVIDIA A100 MIG 1g.5gb"
    assert visible_device("cuda:1") == ("cuda", {"CUDA_VISIBLE_DEVICES": "MIG-y"})
    assert visible_device("cuda:2") == ("cuda", {"CUDA_VISIBLE_DEVICES": "GPU-2b"})


@pytest.mark.parametrize(
    ("allowed", "n"),
    [("0,-1,1", 1), ("NoDevFiles", 0), ("-1", 0), ("none", 0), ("0, 1", 2), ("GPU-1a,MIG-y", 2), ("0,x,1", 1)],
)
def test_as_cuda_counts_them_nothing_follows_an_invalid_entry(
    monkeypatch: pytest.MonkeyPatch, allowed: str, n: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert len(visible_devices()) == n
