"""Image operations of RandAugment and TrivialAugment, with an independent strength per image.

An operation is a function `(images, strength) -> images` of uint8 [N, C, H, W], C being 1 or 3, and
float64 [N] on the CPU. It does to each image what torchvision's operation of that name does to one.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

from resnet_lab.data.transforms.base import send


def apply(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """Change each image by an operation of its own.

    Args:
        images: uint8 [B, H, W, C], on any device.
        operation: places in `OPERATIONS`, int64 [B] on the CPU.
        strength: of each operation, see there; float64 [B] on the CPU.
    """
    order = operation.argsort(stable=True)
    counts = operation.bincount(minlength=len(OPERATIONS)).tolist()
    sorted_images = images.index_select(0, send(order, images.device))
    groups = torch.split(sorted_images.permute(0, 3, 1, 2), counts)
    strengths = torch.split(strength[order], counts)
    changed = [
        change(group, amount)
        for change, group, amount in zip(OPERATIONS.values(), groups, strengths, strict=True)
        if len(group)
    ]
    back = send(order.argsort(), images.device)
    return torch.cat(changed).index_select(0, back).permute(0, 2, 3, 1)


def _each(values: Tensor, images: Tensor) -> Tensor:
    """Bring a number per image to the images' device and shape, float32 [N, 1, 1, 1]."""
    return send(values.to(torch.float32), images.device)[:, None, None, None]


def _move_away(images: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    """Go from `other` through the images and on by `strength`; back where it is negative.

    This is the enhancement by extrapolation of Haeberli and Voorhies (1994). What `other` has in
    common with the images stays exactly as it is.
    """
    pixels = images.float()
    moved = pixels + _each(strength, images) * (pixels - other)
    return moved.clamp_(0, 255).to(torch.uint8)


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    grey = vision.rgb_to_grayscale(images).float()
    return _move_away(images, grey.mean((1, 2, 3), keepdim=True), strength)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    mask = 256 - 2 ** (8 - strength.trunc())
    return images & _each(mask, images).to(torch.uint8)


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    sine, cosine = strength.deg2rad().sin(), strength.deg2rad().cos()
    return _resample(images, xx=cosine, xy=-sine, yx=sine, yy=cosine)


def _resample(
    images: Tensor,
    xx: Tensor | float = 1.0,
    xy: Tensor | float = 0.0,
    x0: Tensor | float = 0.0,
    yx: Tensor | float = 0.0,
    yy: Tensor | float = 1.0,
    y0: Tensor | float = 0.0,
) -> Tensor:
    """Take each pixel (x, y) from (xx x + xy y + x0, yx x + yy y + y0); black from outside.

    Coordinates are in pixels from the centre of the image, y downwards; the nearest pixel counts.
    """
    count, _, height, width = images.shape
    entries = [
        torch.as_tensor(entry, dtype=torch.float64).expand(count)
        for entry in (xx, yx, xy, yy, x0, y0)
    ]
    half = torch.tensor([width / 2, height / 2])  # grid_sample's unit
    matrix = torch.stack(entries, 1).view(count, 3, 2) / half
    across, down, shift = send(matrix.to(torch.float32), images.device)[:, :, None, None].unbind(1)
    x, y = (
        torch.arange(size, device=images.device, dtype=torch.float32) - (size - 1) / 2
        for size in (width, height)
    )
    grid = x[:, None] * across + y[:, None, None] * down + shift
    return F.grid_sample(images.float(), grid, mode="nearest", align_corners=False).to(torch.uint8)


# The fourteen of both papers, by the names that they give them; what the strength is stands behind.
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Identity": lambda x, strength: x,
    "ShearX": lambda x, s: _resample(x, xy=s, x0=s * x.shape[2] / 2),  # pixels left per pixel down
    "ShearY": lambda x, s: _resample(x, yx=s, y0=s * x.shape[3] / 2),  # pixels up per pixel right
    "TranslateX": lambda x, s: _resample(x, x0=-s.trunc()),  # whole pixels to the right
    "TranslateY": lambda x, s: _resample(x, y0=-s.trunc()),  # whole pixels down
    "Rotate": _rotate,  # degrees anticlockwise, about the centre
    "Brightness": lambda x, s: _move_away(x, x.new_zeros(()), s),  # away from black
    "Color": lambda x, s: _move_away(x, vision.rgb_to_grayscale(x), s),  # away from grey
    "Contrast": _contrast,  # away from the mean grey of the image
    "Sharpness": lambda x, s: _move_away(x, vision.adjust_sharpness(x, 0.0), s),  # from smoothed
    "Posterize": _posterize,  # the highest bits of each byte that are kept
    "Solarize": lambda x, s: torch.where(x >= _each(255 * s, x), 255 - x, x),  # inverted above
    "AutoContrast": lambda x, strength: vision.autocontrast(x),  # each channel to the full range
    "Equalize": lambda x, strength: vision.equalize(x),  # a flat histogram of each channel
}
