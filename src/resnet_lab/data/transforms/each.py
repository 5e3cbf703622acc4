"""Transforms of one image at a time, on the CPU: torchvision's v2, and callables like them.

A transform takes uint8 [C, H, W] and returns uint8 [C, H, W], of the same size for every image. It
may draw from the random state of torch, NumPy or Python: that is seeded for each image, and is as
it was afterwards.
"""

import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

Each = Callable[[Tensor], Tensor]


def is_each(change: Any) -> bool:
    """Whether a transform takes one image, rather than a batch and a generator."""
    if isinstance(change, nn.Module):
        return True
    try:
        parameters = inspect.signature(change).parameters.values()
    except (ValueError, TypeError):
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return len(needed) == 1


def transform_each(changes: Sequence[Each], pixels: Tensor, seeds: Sequence[int]) -> Tensor:
    """Apply transforms to each image of uint8 [B, H, W, C], each image with its own seed.

    Raises:
        ValueError: the images come out with different sizes.
    """
    if not changes or not len(pixels):
        return pixels
    images = []
    with isolate_rng(include_cuda=False):
        for image, seed in zip(pixels.permute(0, 3, 1, 2), seeds, strict=True):
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            for change in changes:
                image = change(image)
            images.append(image.permute(1, 2, 0))
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f"images of different sizes, such as {min(shapes)} and {max(shapes)}")
    return torch.stack(images)
