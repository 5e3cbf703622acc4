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

from resnet_lab.data.transforms.each import is_each, transform_each


class Augmentation(Protocol):
    """An entry of `data.augment`."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images of the same dtype and shape, uint8 [B, H, W, C]."""
        ...


def chosen(key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of the configuration `key` that are not None; each must be callable."""
    if not isinstance(changes, Mapping):
        raise ValueError(
            f"{key} is a {type(changes).__name__}: must be a mapping from names, as in "
            f"{key}.flip, to augmentations or null"
        )
    for name, change in changes.items():
        if change is not None and not callable(change):
            raise ValueError(
                f"{key}.{name}={change}: must be an object, by its _target_, or null to "
                "leave it out"
            )
    return {name: change for name, change in changes.items() if change is not None}


def try_out(key: str, changes: Mapping[str, Any], shape: Sequence[int]) -> None:
    """Apply augmentations and transforms of one image, in turn, to a black image [H, W, C].

    Raises:
        ValueError: one refuses such an image, or changes what must stay.
    """
    image = torch.zeros(1, *shape, dtype=torch.uint8)
    for name, change in changes.items():
        try:
            if is_each(change):
                changed, stays, kept = transform_each([change], image, [0]), "channels", 3
            else:
                changed, stays, kept = change(image, torch.Generator().manual_seed(0)), "shape", 0
        except Exception as error:  # of a transform that anybody may have written
            said = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{key}.{name}: {said}") from error
        if changed.dtype != torch.uint8 or changed.shape[kept:] != image.shape[kept:]:
            raise ValueError(
                f"{key}.{name}: gives {changed.dtype} {tuple(changed.shape[1:])} for an image of "
                f"uint8 {tuple(image.shape[1:])}: type and {stays} must stay, as images are "
                "normalised afterwards, on the device"
            )
        image = changed


def send(draws: Tensor, device: torch.device) -> Tensor:
    """Move random parameters to the images' device, without waiting for a GPU."""
    if device.type == "cuda":  # only page-locked memory is copied asynchronously
        draws = draws.pin_memory()
    return draws.to(device, non_blocking=True)
