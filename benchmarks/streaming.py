"""Images/s and memory of streaming, against torchvision's ImageFolder in a DataLoader.

    python -m benchmarks.streaming --folder FOLDER [--images 1000] [--workers 1 2] [--json FILE]

FOLDER is filled with generated JPEGs of about 500 x 375 unless it exists. Both sides crop at random
to 224 x 224, flip and normalise; ours flips and normalises whole batches, as in training. They take
turns, each pass in a process of its own; the medians are shown, of images/s and of the CPU time
that an image takes in all processes together, which a busy machine changes less, and in the workers
alone: on a GPU, ours flips and normalises there.

Memory is that of training with one worker on an index of made-up names, which all lead to the same
picture.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from resnet_lab.core.overhead import keep_memory
from resnet_lab.data import ImageDataModule
from resnet_lab.data.decoding.decode import Form
from resnet_lab.data.decoding.pictures import Crops, Pictures, index
from resnet_lab.data.sources import ImageFolder
from resnet_lab.data.sources.base import Images
from resnet_lab.data.streaming import StreamLoader
from resnet_lab.data.transforms import RandomHorizontalFlip

SIZE, BATCH = 224, 64
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ENTRIES = (10_000, 1_000_000)  # of the index whose memory is measured


class Pass(NamedTuple):
    """One pass over the pictures."""

    rate: float  # images/s
    cpu: float  # ms of CPU time an image, in all processes together
    cpu_workers: float  # ms of it in the workers


def generate(folder: Path, count: int) -> None:
    """Write JPEGs with the detail of photographs: noise at several scales."""
    draw = np.random.default_rng(0)
    for number in range(count):
        size = (int(draw.integers(400, 600)), int(draw.integers(300, 450)))
        picture = Image.new("RGB", size, "grey")
        for scale in (64, 16, 4):
            noise = draw.integers(0, 256, (size[1] // scale, size[0] // scale, 3), np.uint8)
            layer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
            picture = Image.blend(picture, layer, 0.4)
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number:05d}.jpg", quality=90)


def one_pass(batches: Iterable[Any]) -> Pass:
    """Measure a pass from its first batch asked for to the end of its workers."""
    start, before, images = time.perf_counter(), os.times(), 0
    for _, labels in batches:
        images += len(labels)
    seconds, after = time.perf_counter() - start, os.times()
    user, system, user_workers, system_workers, _ = np.subtract(after, before)
    workers = user_workers + system_workers
    cpu = user + system + workers
    return Pass(images / seconds, cpu / images * 1e3, workers / images * 1e3)


def ours(folder: Path, workers: int) -> Pass:
    """Measure our loader, with what is done on the device."""
    keep_memory()  # as in training
    with TemporaryDirectory() as cache:
        source = ImageFolder(
            str(folder), image_size=SIZE, streaming=True, cache=cache, test_fraction=0.01
        )
        data = ImageDataModule(
            source, name="set", num_classes=10, channels=3, image_size=SIZE, mean=MEAN, std=STD,
            augment={"flip": RandomHorizontalFlip()}, val_size=0, batch_size=BATCH, workers=workers,
        )  # fmt: skip
        data.setup("fit")
        return one_pass(data.finish(batch, augment=True) for batch in data.train_dataloader())


def theirs(folder: Path, workers: int) -> Pass:
    """Measure torchvision's pipeline."""
    steps = [
        transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize(MEAN, STD),
    ]  # fmt: skip
    images = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return one_pass(DataLoader(images, BATCH, shuffle=True, num_workers=workers, drop_last=True))


def speed(folder: Path, workers: Sequence[int], turns: int) -> dict[str, Any]:
    """Let both sides pass over the pictures in turn; return the medians by number of workers."""
    found: dict[str, Any] = {}
    for count in workers:
        passes: dict[str, list[Pass]] = {"ours": [], "torchvision": []}
        for _ in range(turns):
            passes["ours"].append(_apart(ours, folder, count))
            passes["torchvision"].append(_apart(theirs, folder, count))
        of = {
            f"{side}_{what}": statistics.median(getattr(one, what) for one in several)
            for side, several in passes.items()
            for what in Pass._fields
        }
        found[str(count)] = of | {
            "ratio_rate": of["ours_rate"] / of["torchvision_rate"],
            "ratio_cpu": of["torchvision_cpu"] / of["ours_cpu"],
            "ratio_cpu_workers": of["torchvision_cpu_workers"] / of["ours_cpu_workers"],
            "n": turns,
        }
    return found


def _apart(measure: Callable[..., Any], *given: Any) -> Any:
    """Measure in a process of its own, forked: what it changes and holds ends with it."""
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    process = fork.Process(target=lambda: results.put(measure(*given)))
    process.start()
    found = results.get()
    process.join()
    return found


class OneFile(Pictures):
    """Pictures that are all the same file, whatever their names."""

    file: Path

    def path(self, index: int) -> Path:
        """Look the name up, as always, and return the one file."""
        super().path(index)
        return self.file


def memory(file: Path, folder: Path, entries: int) -> dict[str, float]:
    """Return seconds until an index is there, and MB that are private to each process.

    The index is built if `folder` has none of that size.
    """
    root = folder / "pictures"
    for number in range(1000):
        (root / f"n{number:08d}").mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    made_up = ((Path(f"{root}/n{n % 1000:08d}/n{n:016d}.JPEG"), n % 1000) for n in range(entries))
    names, labels = index(folder, str(entries), str(root), lambda: made_up)
    seconds = time.perf_counter() - start
    form = Form.of(SIZE, 3)
    pictures: Any = OneFile(str(root), names, form, Crops(), skip=False)
    pictures.file = file
    loader = StreamLoader(
        Images(pictures, labels), torch.arange(entries), BATCH, shuffle=True, workers=1, crop=True
    )
    batches = iter(loader)
    for _ in range(10):
        next(batches)
    (worker,) = multiprocessing.active_children()
    return {"index_s": seconds, "main_mb": _private("self"), "worker_mb": _private(worker.pid)}


def _private(process: object) -> float:
    """Return MB of a process that it shares with no other: files that are mapped do not count."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1000


def main() -> None:
    """Measure, show and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every figure there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.folder.exists():
        generate(given.folder, given.images)
    file = next(given.folder.rglob("*.jpg")).absolute()
    found: dict[str, Any] = {"speed": speed(given.folder, given.workers, given.turns), "memory": {}}
    with TemporaryDirectory() as place:
        for entries in ENTRIES:
            for index_is in ("built", "cached"):
                name = f"{entries} {index_is}"
                found["memory"][name] = _apart(memory, file, Path(place), entries)
    for kind, table in found.items():
        for name, figures in table.items():
            said = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"{kind} {name}: {said}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
