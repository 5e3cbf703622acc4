"""Images/s of streaming against torchvision's ImageFolder in a DataLoader, on the same files.

    python -m benchmarks.streaming --folder FOLDER --images 1000 --workers 1 2

FOLDER is filled with generated JPEGs of about 500 x 375 unless it exists. Both sides crop at random
to 224 x 224, flip and normalise; ours flips and normalises whole batches, as in training.
"""

import argparse
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from resnet_lab.data import ImageDataModule
from resnet_lab.data.sources import ImageFolder
from resnet_lab.data.transforms import RandomHorizontalFlip

SIZE, BATCH, TURNS = 224, 64, 3
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def generate(folder: Path, count: int) -> None:
    """Write JPEGs with the detail of photographs: noise at several scales."""
    draw = np.random.default_rng(0)
    for index in range(count):
        size = (int(draw.integers(400, 600)), int(draw.integers(300, 450)))
        picture = Image.new("RGB", size, "grey")
        for scale in (64, 16, 4):
            noise = draw.integers(0, 256, (size[1] // scale, size[0] // scale, 3), np.uint8)
            layer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
            picture = Image.blend(picture, layer, 0.4)
        place = folder / f"class{index % 10}"
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{index:05d}.jpg", quality=90)


def rate(batches: Iterable[object], images: int) -> float:
    """Return images per second of one pass."""
    start = time.perf_counter()
    for _ in batches:
        pass
    return images / (time.perf_counter() - start)


def ours(folder: Path, workers: int) -> float:
    """Measure our loader, with what is done on the device."""
    source = ImageFolder(
        str(folder),
        image_size=SIZE,
        streaming=True,
        cache=str(folder.parent / "index"),
        test_fraction=0.01,
    )
    data = ImageDataModule(
        source, name="set", num_classes=10, channels=3, image_size=SIZE, mean=MEAN, std=STD,
        augment={"flip": RandomHorizontalFlip()}, val_size=0, batch_size=BATCH, workers=workers,
    )  # fmt: skip
    data.setup("fit")
    loader = data.train_dataloader()
    return rate((data.finish(batch, augment=True) for batch in loader), len(loader) * BATCH)


def theirs(folder: Path, workers: int) -> float:
    """Measure torchvision's pipeline."""
    steps = [
        transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize(MEAN, STD),
    ]  # fmt: skip
    images = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=workers, drop_last=True)
    return rate(loader, len(loader) * BATCH)


def main() -> None:
    """Measure both in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.folder.exists():
        generate(given.folder, given.images)
    for workers in given.workers:
        rates = [(ours(given.folder, workers), theirs(given.folder, workers)) for _ in range(TURNS)]
        mine, other = (statistics.median(side) for side in zip(*rates, strict=True))
        print(
            f"workers={workers}: {mine:.0f} images/s, torchvision {other:.0f}: {mine / other:.2f}"
        )


if __name__ == "__main__":
    main()
