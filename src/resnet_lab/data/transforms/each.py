"""Transforms of one image at a time, on the CPU: torchvision's v2, and callables like them.

A transform takes uint8 [C, H, W] and returns uint8 [C, H, W], of the same size for every image. It
may draw from the random state of torch, NumPy or Python: that is seeded for each image, and is as
it was afterwards.
"""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
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
    with _random_state_kept():
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


def try_each(key: str, changes: Mapping[str, Each], shape: Sequence[int]) -> tuple[int, ...]:
    """Apply the transforms at `key` to a black image [H, W, C]; return the shape in the end.

    Raises a ValueError if one refuses such images, or gives something else than an image of bytes.
    """
    image = torch.zeros(1, *shape, dtype=torch.uint8)
    for name, change in changes.items():
        try:
            changed = transform_each([change], image, [0])
        except Exception as error:  # of a transform of anybody's
            said = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{key}.{name}: {said}") from error
        if changed.dtype != torch.uint8 or changed.shape[3:] != image.shape[3:]:
            raise ValueError(
                f"{key}.{name}: gives {changed.dtype} {tuple(changed.shape[1:])} for an image of "
                f"uint8 {tuple(image.shape[1:])}: type and channels must stay, as images are "
                "normalised afterwards, on the device"
            )
        image = changed
    return tuple(image.shape[1:])


@contextmanager
def _random_state_kept() -> Iterator[None]:
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
