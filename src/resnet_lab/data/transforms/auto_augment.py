"""Augmentation by an operation that each image draws: TrivialAugment and RandAugment."""

import functools

import torch
from torch import Tensor
from torchvision.transforms import v2

from resnet_lab.data.transforms.operations import OPERATIONS, apply

LEVELS = 31  # 0 to 30, the scale on which both papers give a magnitude


class TrivialAugmentWide:
    """Change each image by one operation at one magnitude, both drawn (Müller and Hutter 2021).

    It has nothing to tune. The ranges are the paper's wide ones, as in torchvision: translation up
    to 32 pixels whatever the size of the image, rotation up to 135 degrees.
    """

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        level = torch.randint(LEVELS, images.shape[:1], generator=generator)
        return _change(images, v2.TrivialAugmentWide, level, generator)


class RandAugment:
    """Change each image by some operations, drawn, at one magnitude (Cubuk et al. 2020).

    The ranges are torchvision's: translation up to 150/331 of the image, rotation up to 30 degrees.

    Args:
        num_ops: how many operations, one after the other; the paper's N.
        magnitude: how strong, 0 to 30; the paper's M.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 9) -> None:
        if num_ops < 1:
            raise ValueError(f"RandAugment num_ops={num_ops}: must be an integer >= 1")
        if not 0 <= magnitude < LEVELS:
            raise ValueError(
                f"RandAugment magnitude={magnitude}: must be an integer from 0 to {LEVELS - 1}"
            )
        self.num_ops = num_ops
        self.magnitude = magnitude

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        level = torch.full(images.shape[:1], self.magnitude)
        for _ in range(self.num_ops):
            images = _change(images, v2.RandAugment, level, generator)
        return images


def _change(images: Tensor, like: type, level: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an operation for each image, and which way it goes, and apply it.

    `like` is torchvision's class with the same ranges, and `level` that of each image, int64 [B].
    """
    _, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(
            "TrivialAugment and RandAugment know images of 1 or 3 channels, and these have "
            f"{channels}: leave it out"
        )
    strengths, signed = _ranges(like, height, width)
    operation = torch.randint(len(OPERATIONS), level.shape, generator=generator)
    negative = torch.randint(2, level.shape, generator=generator).bool()
    strength = strengths[operation, level]
    return apply(images, operation, torch.where(negative & signed[operation], -strength, strength))


@functools.lru_cache(maxsize=4)
def _ranges(like: type, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return strengths by operation and level, float64 [operations, LEVELS], and which have signs.

    An operation without a strength has 0.
    """
    ranges = [like._AUGMENTATION_SPACE[name] for name in OPERATIONS]  # type: ignore[attr-defined]
    levels = [of(LEVELS, height, width) for of, _ in ranges]
    rows = [torch.zeros(LEVELS) if row is None else row for row in levels]
    return torch.stack([row.double() for row in rows]), torch.tensor([sign for _, sign in ranges])
