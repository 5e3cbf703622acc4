"""What a GPU is sent and how often, held with stand-ins: the meta device, and notes of calls."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_lab.data import ImageDataModule
from resnet_lab.data import module as data_module
from resnet_lab.data.transforms import (
    RandAugment,
    RandomCrop,
    RandomHorizontalFlip,
    TrivialAugmentWide,
)
from resnet_lab.data.transforms import base as augment
from resnet_lab.data.transforms.erase import RandomErasing, _noise
from resnet_lab.measuring.random_images import RandomImages

META = torch.device("meta")


class Traffic(TorchDispatchMode):
    """Note the bytes that go to the stand-in, and the largest tensor that is made on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [part for part in torch.utils._pytree.tree_leaves(made) if torch.is_tensor(part)]
        for tensor in tensors:
            if tensor.device.type == "cpu":
                self.largest = max(self.largest, tensor.numel() * tensor.element_size())
            elif func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
                self.sent += tensor.numel() * tensor.element_size()
        return made


@pytest.mark.parametrize(
    ("change", "each"),
    [
        (RandomCrop(4), 8),  # bytes for an image
        (RandomHorizontalFlip(), 8),
        (RandomErasing(), 16),
        (TrivialAugmentWide(), 100),
        (RandAugment(), 200),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_is_drawn_for_an_image_is_sent(change: Any, each: int) -> None:
    images = torch.empty(128, 32, 32, 3, dtype=torch.uint8, device=META)
    change(images, torch.Generator().manual_seed(0))  # what is kept between batches is made
    with Traffic() as traffic:
        change(images, torch.Generator().manual_seed(0))
    assert 0 < traffic.sent <= 128 * each
    assert traffic.largest <= 128 * 100  # nothing the size of the images: 128 * 3072


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_draws_go_to_a_gpu_out_of_page_locked_memory(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        calls.append("pin")
        return tensor

    def to(tensor: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        calls.append((*arguments, options))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    augment.send(torch.zeros(3), torch.device(device))
    moved = (torch.device(device), {"non_blocking": True})
    assert calls == (["pin", moved] if device == "cuda" else [moved])


def test_noise_is_a_function_of_the_seed_and_of_nothing_else() -> None:
    """These bytes were written down: on every device and in every version they are the same."""
    state = torch.get_rng_state()
    noise = _noise(7, 20, torch.device("cpu"))
    assert noise.tolist() == [
        8, 192, 90, 198, 226, 252, 29, 101, 77, 252, 48, 239, 241, 18, 96, 41, 159, 82, 208, 253,
    ]  # fmt: skip
    assert torch.equal(_noise(7, 1000, torch.device("cpu"))[:20], noise)
    assert not torch.equal(_noise(8, 20, torch.device("cpu")), noise)
    assert torch.equal(torch.get_rng_state(), state)


def test_noise_has_every_byte_equally_often_at_every_place() -> None:
    bytes_ = _noise(3, 8 * 65_536, torch.device("cpu")).view(-1, 8)
    for place in range(8):
        counts = bytes_[:, place].bincount(minlength=256).double()
        # Chi-square with 255 degrees of freedom: 331 is exceeded once in a thousand.
        assert ((counts - 256) ** 2 / 256).sum() < 345
    assert torch.corrcoef(bytes_.double().T).sub(torch.eye(8)).abs().max() < 0.02
    neighbours = torch.corrcoef(torch.stack([bytes_[:-1].flatten(), bytes_[1:].flatten()]).double())
    assert neighbours[0, 1].abs() < 0.01


# ---- where the images lie


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageDataModule]:
    """A data set of 100 images beside a stand-in for a GPU that has plenty of memory."""
    monkeypatch.setattr(data_module, "free_on", lambda device: 10**9)
    subject = ImageDataModule(
        RandomImages(2, 8, 1, 100), name="random", num_classes=2, channels=1, image_size=8,
        mean=[0.5], std=[0.5], batch_size=8,
    )  # fmt: skip
    subject.trainer = SimpleNamespace(  # type: ignore[assignment]
        overfit_batches=0, global_rank=0, world_size=1, strategy=SimpleNamespace(root_device=META)
    )
    subject.setup("fit")
    subject.setup("test")
    return subject


def test_images_that_splits_share_are_uploaded_once(data: ImageDataModule) -> None:
    training, validation = data.train_dataloader(), data.val_dataloader()
    assert isinstance(validation, data_module.BatchLoader)
    assert training.images.pixels.device == META
    assert training.images.pixels is validation.images.pixels
    assert data.train_dataloader().images.pixels is training.images.pixels
    assert data.test_dataloader().images.pixels is not training.images.pixels


def test_images_on_the_gpu_are_not_pinned_when_its_memory_has_run_short(
    data: ImageDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.train_dataloader()
    monkeypatch.setattr(data_module, "free_on", lambda device: 100)
    again, testing = data.train_dataloader(), data.test_dataloader()
    assert again.images.pixels.device == META
    assert not again.pin
    assert testing.images.pixels.device.type == "cpu"
    assert testing.pin


def test_pixels_and_labels_are_pinned(
    data: ImageDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[torch.dtype] = []
    monkeypatch.setattr(data_module, "free_on", lambda device: 100)
    monkeypatch.setattr(
        torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.dtype) or tensor
    )
    next(iter(data.train_dataloader()))
    assert pinned == [torch.uint8, torch.int64]


def test_a_cpu_moves_and_pins_nothing(
    data: ImageDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    data.trainer.strategy.root_device = torch.device("cpu")  # type: ignore[union-attr, misc]
    loader = data.train_dataloader()
    assert loader.images is data.images("train")[0]
    assert not loader.pin
