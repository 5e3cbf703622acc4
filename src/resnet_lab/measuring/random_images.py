"""Random images, for measurements that need no data set."""

import torch
from omegaconf import DictConfig

from resnet_lab.data.pixels import sides
from resnet_lab.data.sources.base import Images


class RandomImages:
    """A source of random images."""

    splits = ("train", "test")

    def __init__(
        self, num_classes: int, size: int | list[int], channels: int, count: int = 10_000
    ) -> None:
        self.classes = tuple(str(label) for label in range(num_classes))
        self.shape = (count, *sides(size), channels)

    def prepare(self) -> None:
        """Do nothing."""

    def read(self, split: str) -> Images:
        """Draw the images of a split."""
        labels = torch.arange(self.shape[0]) % len(self.classes)
        return Images(torch.randint(0, 256, self.shape, dtype=torch.uint8), labels)


def use_random_images(cfg: DictConfig, count: int) -> None:
    """Replace the images of a configuration by so many random ones of the same shape."""
    cfg.data.source = {
        "_target_": f"{__name__}.RandomImages",
        "num_classes": cfg.data.num_classes,
        "size": cfg.data.image_size,
        "channels": cfg.data.channels,
        "count": count,
    }
    cfg.data.val_size = 0.1
