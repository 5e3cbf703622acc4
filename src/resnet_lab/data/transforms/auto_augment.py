"""Augmentation by an operation that each image draws: TrivialAugment and RandAugment."""

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from resnet_lab.data.transforms.operations import OPERATIONS, apply

LEVELS = 31  # 0 to 30, the scale on which both papers give a magnitude

SIGNED = (
    "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness",
)  # fmt: skip


class TrivialAugmentWide:
    """Change each image by one operation at one magnitude, both drawn (Müller and Hutter 2021).

    It has nothing to tune. The ranges are the paper's wide ones: shear to 0.99, translation to 32
    pixels whatever the size of the image, rotation to 135 degrees, brightness, colour, contrast and
    sharpness to 0.99 either way, posterization to 2 bits, solarization to all pixels.
    """

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        level = torch.randint(LEVELS, images.shape[:1], generator=generator)
        return _change(images, _wide(), level, generator)


class RandAugment:
    """Change each image by some operations, drawn, at one magnitude (Cubuk et al. 2020).

    The ranges are torchvision's: shear to 0.3, translation to 150/331 of the image, rotation to 30
    degrees, brightness, colour, contrast and sharpness to 0.9 either way, posterization to 4 bits,
    solarization to all pixels.

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
        _, height, width, _ = images.shape
        level = torch.full(images.shape[:1], self.magnitude)
        for _ in range(self.num_ops):
            images = _change(images, _moderate(height, width), level, generator)
        return images


def _change(images: Tensor, table: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an operation for each image, and which way it goes, and apply it.

    `table` holds strengths by operation and level, and `level` is that of each image, int64 [B].
    """
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"TrivialAugment and RandAugment know images of 1 or 3 channels, and these have "
            f"{images.shape[-1]}: leave it out"
        )
    operation = torch.randint(len(OPERATIONS), level.shape, generator=generator)
    negative = torch.randint(2, level.shape, generator=generator).bool()
    signed = torch.tensor([name in SIGNED for name in OPERATIONS])
    strength = table[operation, level]
    return apply(images, operation, torch.where(negative & signed[operation], -strength, strength))


@functools.lru_cache(maxsize=1)
def _wide() -> Tensor:
    enhance = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.99)
    place = {"ShearX": 0.99, "ShearY": 0.99, "TranslateX": 32, "TranslateY": 32, "Rotate": 135}
    return _table({**place, **enhance}, fewest_bits=2)


@functools.lru_cache(maxsize=4)
def _moderate(height: int, width: int) -> Tensor:
    enhance = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.9)
    far = 150 / 331
    place = {"ShearX": 0.3, "ShearY": 0.3, "TranslateX": far * width, "TranslateY": far * height}
    return _table({**place, "Rotate": 30, **enhance}, fewest_bits=4)


def _table(greatest: Mapping[str, float], fewest_bits: int) -> Tensor:
    """Return strengths by operation and level, float64 [operations, LEVELS]."""
    # In float32 as torchvision: a translation of 15.999999 pixels is one of 15.
    rows = {name: torch.linspace(0, most, LEVELS) for name, most in greatest.items()}
    rows["Posterize"] = torch.linspace(8, fewest_bits, LEVELS).round()
    rows["Solarize"] = torch.linspace(1, 0, LEVELS)
    return torch.stack([rows.get(name, torch.zeros(LEVELS)) for name in OPERATIONS]).double()
