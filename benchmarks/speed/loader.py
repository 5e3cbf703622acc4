"""Count the images a second that are ready for the network: by our loader, by torchvision."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from benchmarks.speed import in_turn, medians, ratio
from resnet_lab.data import ImageDataModule


def against_torchvision(data: ImageDataModule, repeats: int) -> dict[str, float]:
    """Compare our loader with torchvision's transforms in a DataLoader with two workers.

    Returns:
        Images/s of `torchvision` and `ours`, and their `ratio`: medians of `n`.
    """
    both = {
        "torchvision": lambda: torchvision_rate(data, 2.0),
        "ours": lambda: loader_rate(data, 1.0),
    }
    rates = in_turn(both, repeats)
    return {**medians(rates), "ratio": ratio(rates, "ours", "torchvision"), "n": repeats}


def loader_rate(data: ImageDataModule, seconds: float) -> float:
    """Return images/s that our loader delivers ready for the network."""
    loader = data.train_dataloader()
    return _delivered(loader, lambda batch: len(data.finish(batch, augment=True)[1]), seconds)


def torchvision_rate(data: ImageDataModule, seconds: float, workers: int = 2) -> float:
    """Return images/s of torchvision's transforms, image by image, in a DataLoader's workers."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    images, indices = data.images("train")
    size = images.pixels.shape[1:3]
    steps: list[object] = []
    for change in data.batched.values():
        if type(change).__name__ == "RandomCrop":
            steps.append(transforms.RandomCrop(size, padding=change.padding))
        elif type(change).__name__ == "RandomHorizontalFlip":
            steps.append(transforms.RandomHorizontalFlip(change.p))
    facts = data.facts()
    steps += [transforms.ToTensor(), transforms.Normalize(facts["mean"], facts["std"])]
    transform = transforms.Compose(steps)

    class Decoded(Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return len(indices)

        def __getitem__(self, number: int) -> tuple[Tensor, int]:
            index = int(indices[number])
            picture = Image.fromarray(images.pixels[index].numpy().squeeze())
            return transform(picture), int(images.labels[index])

    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        Decoded(), data.batch_size, shuffle=True, num_workers=workers, drop_last=True
    )
    return _delivered(loader, lambda batch: len(batch[1]), seconds)


def _delivered(loader: Iterable[Any], take: Callable[[Any], int], seconds: float) -> float:
    """Count images from the second batch on, for some seconds or one epoch."""
    batches = iter(loader)
    take(next(batches))
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += take(batch)
        if time.perf_counter() - start > seconds:
            break
    return count / (time.perf_counter() - start)
