"""What an augmentation is, and the checks of those that a user names.

An augmentation is a callable `(images, generator) -> images` on uint8 [B, H, W, C]. It draws from
`generator`, which lives on the CPU, so that one seed gives one stream of draws wherever the images
are; only what is drawn travels to the device.

Torchvision's v2 transforms draw once per call, which on a batch means one crop for every image. The
ones here match torchvision's image-by-image transforms in distribution.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Augmentation(Protocol):
    """An entry of `data.augment`."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images of the same dtype and shape, uint8 [B, H, W, C]."""
        ...


def chosen(augment: Mapping[str, Any], key: str = "data.augment") -> dict[str, Any]:
    """Return the entries of `data.augment`, or of another key, that are not None.

    Raises:
        ValueError: the entries have no names, or one of them is not callable.
    """
    if not isinstance(augment, Mapping):
        raise ValueError(
            f"{key} is a {type(augment).__name__}: must be a mapping from names, as in "
            f"{key}.flip, to augmentations or null"
        )
    for name, change in augment.items():
        if change is not None and not callable(change):
            raise ValueError(
                f"{key}.{name}={change}: must be an object, by its _target_, or null to "
                "leave it out"
            )
    return {name: change for name, change in augment.items() if change is not None}


def try_out(augment: Mapping[str, Augmentation], shape: Sequence[int]) -> None:
    """Apply each augmentation to a black image of shape [H, W, C], before training starts.

    Raises:
        ValueError: one of them refuses such images, or changes their shape or dtype.
    """
    blank = torch.zeros(1, *shape, dtype=torch.uint8)
    for name, change in augment.items():
        try:
            changed = change(blank, torch.Generator().manual_seed(0))
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"data.augment.{name}: {' '.join(str(error).split())}") from error
        if changed.shape != blank.shape or changed.dtype != blank.dtype:
            raise ValueError(
                f"data.augment.{name}: gives {changed.dtype} {tuple(changed.shape)} for "
                f"{blank.dtype} {tuple(blank.shape)}; neither may change"
            )


def send(draws: Tensor, device: torch.device) -> Tensor:
    """Move random parameters to the images' device, without waiting for a GPU."""
    if device.type == "cuda":  # only page-locked memory is copied asynchronously
        draws = draws.pin_memory()
    return draws.to(device, non_blocking=True)
