"""Arrays of any kind as bytes, and sizes that are not square."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lab.data import ImageDataModule
from resnet_lab.data.normalise import normalise
from resnet_lab.data.pixels import ByUser, resize, sides, to_bytes
from resnet_lab.data.sources import base as sources
from resnet_lab.data.sources.base import Images
from resnet_lab.data.transforms import RandAugment, RandomErasing, TrivialAugmentWide
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.preflight import Preflight
from resnet_lab.train import train

LEVELS = np.linspace(0, 255, 9).round()


# ---- values


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 200), ("uint16", 0, 4095), ("int16", -1024, 3071), ("int32", 0, 100_000),
        ("int64", 2**40, 2**40 + 1000), ("float32", 0, 1), ("float64", -1, 1), ("float16", 0, 1),
    ],
)  # fmt: skip
def test_values_are_scaled_from_the_stated_range(dtype: str, low: float, high: float) -> None:
    values = np.linspace(low, high, 9).astype(dtype)
    found = to_bytes(values, [low, high])
    assert found.dtype == np.uint8
    assert np.abs(found - LEVELS).max() <= 1


def test_bytes_and_booleans_say_themselves_what_is_white() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert to_bytes(values) is values
    assert to_bytes(np.array([False, True])).tolist() == [0, 255]


@pytest.mark.parametrize("dtype", ["uint16", "int8", "int32", "int64", "float32"])
def test_the_range_of_all_else_is_asked_for(dtype: str) -> None:
    with pytest.raises(ByUser, match=rf"{dtype} values from 0 to 100, .*range=\["):
        to_bytes(np.array([0, 100], dtype))


@pytest.mark.parametrize(
    ("values", "extent", "said"),
    [
        (np.zeros(2), [1, 0], r"range=\[1, 0\]: must be auto"),
        (np.zeros(2), "0..1", "range=0..1: must be auto"),
        (np.zeros(2), 5, "range=5: must be auto"),
        (np.zeros(2), [0, float("nan")], "must be auto"),
        (np.array([0, np.nan]), [0, 1], "not finite"),
        (np.zeros(2, complex), [0, 1], "complex128 cannot be pixels"),
        (np.zeros(2, np.uint8), [0, 4095], r"uint8 values cannot have range=\[0, 4095\]"),
    ],
)
def test_ranges_that_cannot_be_are_refused(values: Any, extent: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_bytes(values, extent)


# ---- sources


class Given:
    """A source of given images."""

    splits = ("train", "test")

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> None:
        self.classes = ("a", "b")
        self.pixels = pixels
        self.labels = torch.arange(len(pixels)) % 2 if labels is None else labels

    def prepare(self) -> None:
        pass

    def read(self, split: str) -> Images:
        return Images(self.pixels, self.labels)


def image(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("pixels", "labels", "said"),
    [
        (image(8, 3, 5, 6), None, r"permute\(0, 2, 3, 1\)"),
        (image(8, 1, 5, 6), None, r"permute\(0, 2, 3, 1\)"),
        (image(8, 5, 6), None, r"unsqueeze\(-1\)"),
        (image(8, 5, 6, 1).float() / 255, None, "torch.float32 where uint8 .*to_bytes"),
        (image(8, 5, 6, 1).int(), None, "torch.int32 where uint8"),
        (image(8, 5, 6, 1), torch.arange(7), r"labels \(7,\) of torch.int64"),
        (image(8, 5, 6, 1), torch.zeros(8).double(), "torch.float64 .* int64"),
        (image(8, 5, 6, 1), torch.arange(8) - 1, "label -1: classes count from 0"),
        (image(0, 5, 6, 1), None, "one image at least"),
    ],
)
def test_what_a_source_gives_is_held_to_what_is_needed(pixels: Any, labels: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^Given.read\('train'\) gives .*{said}"):
        sources.read(Given(pixels, labels), "train")


# ---- sizes


def module(pixels: torch.Tensor, **changes: Any) -> ImageDataModule:
    channels = pixels.shape[-1]
    options: dict[str, Any] = {
        "name": "given", "num_classes": 2, "channels": channels, "image_size": 8, "batch_size": 4,
        "mean": [0.0] * channels, "std": [1.0] * channels, "val_size": 4,
    }  # fmt: skip
    return ImageDataModule(Given(pixels), **{**options, **changes})


def test_rectangular_images_stay_as_they_are() -> None:
    pixels = image(20, 5, 10, 3)
    data = module(pixels, image_size=[5, 10])
    data.setup("fit")
    assert data.facts()["image_size"] == [5, 10]
    found, _ = data.finish(next(iter(data.train_dataloader())), augment=True)
    assert found.shape == (4, 3, 5, 10)
    assert torch.allclose(data.normalise(pixels), pixels.permute(0, 3, 1, 2) / 255)


def test_square_sizes_are_one_number_in_the_facts_as_they_were_in_earlier_checkpoints() -> None:
    assert module(image(20, 8, 8, 1), image_size=[8, 8]).facts()["image_size"] == 8
    assert sides(8) == sides([8, 8]) == (8, 8)


def test_images_of_other_proportions_are_not_squashed_unasked() -> None:
    pixels = image(20, 28, 56, 1)
    with pytest.raises(ValueError, match=r"28 high and 56 wide.*\[28,56\].*crop, pad or stretch"):
        module(pixels, image_size=32).setup("fit")
    for size in ([14, 28], [56, 112], [28, 56]):
        module(pixels, image_size=size).setup("fit")
    for fit in ("crop", "pad", "stretch"):
        data = module(pixels, image_size=32, fit=fit)
        data.setup("fit")
        assert data.normalise(pixels).shape == (20, 1, 32, 32)


@pytest.mark.parametrize("wide", [False, True])
def test_ways_to_fit(wide: bool) -> None:
    """A disc stays round when it is cropped or padded, and does not when it is stretched."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(80.0), indexing="ij")
    disc = ((y - 19.5) ** 2 + (x - 39.5) ** 2 < 15**2).to(torch.uint8)[None, :, :, None] * 255
    if not wide:
        disc = disc.transpose(1, 2)

    def extent(fit: Any) -> tuple[int, int]:
        found = resize(disc, (40, 40), fit)[0, :, :, 0] > 127
        high, across = int(found.any(1).sum()), int(found.any(0).sum())
        return (high, across) if wide else (across, high)

    assert extent("crop") == (30, 30)
    high, across = extent("pad")
    assert abs(high - 15) <= 1
    assert abs(across - 15) <= 1
    high, across = extent("stretch")
    assert high == 30
    assert abs(across - 15) <= 1
    margins = resize(torch.full_like(disc, 9), (40, 40), "pad")[0, :, :, 0] == 0
    assert int(margins.sum()) == 20 * 40


@pytest.mark.parametrize("size", [0, -1, [8], [8, 0], [8, 8, 8], "8", True])
def test_impossible_sizes(size: Any) -> None:
    with pytest.raises(ValueError, match=r"image_size=.*must be an integer >= 1, or two"):
        module(image(20, 8, 8, 1), image_size=size)


# ---- augmentation


@pytest.mark.parametrize("change", [TrivialAugmentWide(), RandAugment()])
def test_colours_of_four_channels_are_refused_before_training(change: Any) -> None:
    data = module(image(20, 8, 8, 4), augment={"trivial": change})
    with pytest.raises(ValueError, match=r"data.augment.trivial: .*1 or 3 channels.*have 4"):
        data.setup("fit")
    module(image(20, 8, 8, 4)).setup("fit")


def test_an_augmentation_that_does_not_fit_the_images_is_refused_before_training() -> None:
    erasing = RandomErasing(value=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"data.augment.erasing: .*2 shades .* 3 channels"):
        module(image(20, 8, 8, 3), augment={"erasing": erasing}).setup("fit")
    with pytest.raises(ValueError, match=r"data.augment.half: gives torch.uint8 \(4, 8, 3\)"):
        module(image(20, 8, 8, 3), augment={"half": lambda images, _: images[:, ::2]}).setup("fit")


# ---- a whole run


def test_a_run_on_rectangular_16_bit_pictures(tiny: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(24):
            values = rng.integers(1500 * label, 1500 * label + 1000, (20, 30), np.uint16)
            Image.fromarray(values).save(tmp_path / "photos" / name / f"{index}.tif")
    overrides = (
        "data=image_folder", f"data.root={tmp_path / 'photos'}", "data.image_size=[16,24]",
        "data.batch_size=8", "data.channels=1", "trainer.limit_train_batches=2", "augment=trivial",
        "data.source.range=[0,4095]", "callbacks.summary={_target_: "
        "resnet_lab.callbacks.summary.ModelSummary}",
    )  # fmt: skip
    cfg = tiny(*overrides)
    assert Preflight().check(cfg).parameters > 0
    train(cfg, tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.status["state"] == "done"
    task, facts = run.load_task()
    assert facts["image_size"] == [16, 24]
    assert facts["mean"][0] == pytest.approx(1250 / 4095, abs=0.05)
    task.check(facts)


def test_large_images_are_normalised_as_small_ones() -> None:
    pixels = image(3, 150, 150, 3)
    found = normalise(pixels, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    expected = (pixels / 255 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.6, 0.7])
    assert torch.allclose(found, expected.permute(0, 3, 1, 2), atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)
