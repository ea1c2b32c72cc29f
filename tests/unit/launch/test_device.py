"""Devices are dealt by turns, without touching CUDA."""

import pytest

from ablate.errors import LaunchError
from ablate.launch.device import deal, gpu_name, visible_devices


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")


@pytest.fixture
def no_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_devices_are_numbered_as_torch_numbers_those_that_are_visible(two_devices):
    assert visible_devices() == ["cuda:0", "cuda:1"]


def test_devices_are_dealt_by_turns(two_devices):
    assert deal(3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert deal(3, device="cuda") == ["cuda:0", "cuda:1", "cuda:0"]


def test_everybody_gets_the_device_that_was_named(two_devices):
    assert deal(2, device="cuda:1") == ["cuda:1", "cuda:1"]
    assert deal(2, device="cpu") == ["cpu", "cpu"]


def test_cpu_where_there_is_nothing_else(no_device):
    assert deal(2) == ["cpu", "cpu"]


@pytest.mark.parametrize("device", ["cuda", "cuda:2", "tpu"])
def test_device_that_is_not_there_is_refused(no_device, device):
    with pytest.raises(LaunchError, match=f"--device {device}.*no CUDA device"):
        deal(1, device=device)


def test_gpu_is_called_as_its_maker_does(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\necho 'GPU 1: other (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_name() == "NVIDIA H100 80GB HBM3"
    assert visible_devices() == ["cuda:0", "cuda:1"]
