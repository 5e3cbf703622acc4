from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_lab.data import ImageDataModule
from resnet_lab.data.loader import Batch
from resnet_lab.data.sources.base import Images
from resnet_lab.data.transforms import RandomHorizontalFlip


class Patches:
    """A source of random images, with a record of what was read."""

    def __init__(
        self, count: int = 120, size: int = 4, channels: int = 3, splits=("train", "test")
    ):
        self.count, self.size, self.channels, self.splits = count, size, channels, splits
        self.classes = ("a", "b", "c")
        self.log: list[str] = []

    def prepare(self) -> None:
        self.log.append("prepare")

    def read(self, split: str) -> Images:
        self.log.append(split)
        generator = torch.Generator().manual_seed(len(split))
        shape = (self.count, self.size, self.size, self.channels)
        pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.arange(self.count) % 3)


def module(source=None, **changes) -> ImageDataModule:
    source = source or Patches()
    facts = {
        "name": "patches", "num_classes": 3, "channels": 3, "image_size": 4, "batch_size": 16,
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4],
    }  # fmt: skip
    return ImageDataModule(source, **{**facts, **changes})


def test_the_test_split_is_not_read_before_the_test() -> None:
    source = Patches()
    data = module(source)
    data.prepare_data()
    data.setup("fit")
    list(data.train_dataloader()), list(data.val_dataloader())
    assert "test" not in source.log
    data.setup("test")
    assert "test" in source.log


def test_training_and_validation_are_disjoint_whatever_the_seed_of_the_run() -> None:
    parts = []
    for seed in (0, 1):
        data = module(val_size=0.25, seed=seed)
        data.setup("fit")
        parts.append({split: set(data._sets[split][1].tolist()) for split in ("train", "val")})
    assert parts[0] == parts[1]
    assert not parts[0]["train"] & parts[0]["val"]
    assert len(parts[0]["val"]) == 30


def test_a_source_with_its_own_validation_split_keeps_it() -> None:
    data = module(Patches(splits=("train", "val", "test")))
    data.setup("fit")
    assert (data.size("train"), data.size("val")) == (120, 120)


def test_no_validation_split() -> None:
    data = module(val_size=0)
    data.setup("fit")
    assert data.val_dataloader() == []


def test_images_are_normalised_as_torchvision_does() -> None:
    from torchvision.transforms.v2.functional import normalize, to_dtype

    data = module()
    pixels = Patches().read("train").pixels
    expected = normalize(
        to_dtype(pixels.permute(0, 3, 1, 2), torch.float32, scale=True),
        [0.5, 0.4, 0.3],
        [0.2, 0.3, 0.4],
    )
    found = data.normalise(pixels)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_other_sizes_are_resized_as_torchvision_does() -> None:
    from torchvision.transforms.v2.functional import normalize, resize

    data = module(image_size=7, mean=[0, 0, 0], std=[1, 1, 1])
    pixels = Patches().read("train").pixels
    wanted = resize(pixels.permute(0, 3, 1, 2).float() / 255, [7, 7], antialias=True)
    found = data.normalise(pixels)
    assert torch.allclose(found, normalize(wanted, [0] * 3, [1] * 3), atol=1e-5)


def test_augmentation_only_where_asked_and_by_the_seed_of_the_batch() -> None:
    data = module(augment={"flip": RandomHorizontalFlip(), "crop": None})
    pixels, labels = Patches().read("train")
    plain = data.finish(Batch(pixels, labels, 1), augment=False)[0]
    assert torch.equal(plain, data.normalise(pixels))
    first, again, other = (
        data.finish(Batch(pixels, labels, seed), augment=True)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, plain)
    # Outside a trainer that trains, nothing is augmented.
    assert torch.equal(data.on_after_batch_transfer(Batch(pixels, labels, 1), 0)[0], plain)


def test_mean_and_std_are_measured_on_the_training_part_where_they_are_not_given() -> None:
    data = module(mean=None, std=None)
    with pytest.raises(ValueError, match="not known before setup"):
        data.facts()
    data.setup("fit")
    images, indices = data._sets["train"]
    values = images.pixels[indices].double().flatten(0, 2) / 255
    facts = data.facts()
    assert facts["mean"] == pytest.approx(values.mean(0).tolist())
    assert facts["std"] == pytest.approx(values.std(0, unbiased=False).tolist())


def test_facts_are_plain() -> None:
    facts = module().facts()
    assert facts["classes"] == ["a", "b", "c"]
    assert {type(value) for value in facts.values()} == {str, list, int}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"batch_size": 0}, "data.batch_size=0: must be an integer >= 1"),
        (
            {"batch_size": 109},
            "data.batch_size=109 is larger than the training split .* at most 108",
        ),
        ({"channels": 1, "mean": [0.5], "std": [0.5]}, "data.channels=1, .* has 3 channels"),
        ({"num_classes": 4}, "data.num_classes=4, but patches has 3 classes"),
        ({"mean": [0.5]}, "data.mean has 1 values for data.channels=3"),
        ({"val_size": 120}, "cannot set 120 of 120 images aside"),
    ],
)
def test_contradictions_are_named(changes, text) -> None:
    with pytest.raises(ValueError, match=text):
        module(**changes).setup("fit")


def test_a_batch_is_shared_equally_by_the_processes() -> None:
    data = module(batch_size=3)
    trainer: Any = SimpleNamespace(global_rank=0, world_size=2, overfit_batches=0)
    data.trainer = trainer
    data.setup("fit")
    with pytest.raises(ValueError, match=r"^data.batch_size=3 must be a multiple of the 2 devices"):
        data.train_dataloader()


def test_a_constant_channel_is_refused() -> None:
    class Black(Patches):
        def read(self, split: str) -> Images:
            return Images(torch.zeros(120, 4, 4, 3, dtype=torch.uint8), torch.arange(120) % 3)

    with pytest.raises(ValueError, match="constant"):
        module(Black(), mean=None).setup("fit")
