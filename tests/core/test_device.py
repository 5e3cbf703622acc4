import re

import pytest
import torch

from resnet_lab.core import device


def test_precision_of_a_cpu_follows_what_was_measured(monkeypatch) -> None:
    monkeypatch.setattr(device, "bf16_speedup", lambda: 1.9)
    assert device.best_precision("cpu") == "bf16-mixed"
    monkeypatch.setattr(device, "bf16_speedup", lambda: 0.4)
    assert device.best_precision("cpu") == "32-true"


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((9, 0), "bf16-mixed"), ((8, 0), "bf16-mixed"), ((7, 5), "16-mixed"), ((6, 1), "32-true")],
)
def test_precision_of_a_gpu_follows_its_generation(capability, precision, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert device.best_precision("auto") == precision


def test_the_measurement_leaves_the_threads_alone() -> None:
    torch.set_num_threads(2)
    device.bf16_speedup.cache_clear()
    try:
        assert device.bf16_speedup() > 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_an_accelerator_that_is_not_there_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for accelerator in ("gpu", "cuda", "mps"):
        with pytest.raises(ValueError, match=f"{accelerator}: .* it has cpu; use trainer=auto"):
            device.check_accelerator(accelerator, 1)
    for accelerator in ("auto", "cpu"):
        device.check_accelerator(accelerator, 2)


def test_more_gpus_than_there_are_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    device.check_accelerator("gpu", 2)
    with pytest.raises(ValueError, match=r"trainer.devices=4: this machine has 2"):
        device.check_accelerator("gpu", 4)


def test_the_device_has_a_name() -> None:
    assert re.match(r"1 thread of \S", device.describe("cpu"))
