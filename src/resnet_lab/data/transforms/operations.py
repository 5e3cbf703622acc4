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

Operation = Callable[[Tensor, Tensor], Tensor]


def apply(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """Change each image by an operation of its own.

    Args:
        images: uint8 [B, H, W, C], on any device.
        operation: places in `OPERATIONS`, int64 [B] on the CPU.
        strength: what each does with it is its own affair; float64 [B] on the CPU.
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


def identity(images: Tensor, strength: Tensor) -> Tensor:
    """Return the images as they are."""
    return images


def shear_x(images: Tensor, strength: Tensor) -> Tensor:
    """Shift each row left by `strength` pixels for every pixel below the top."""
    return _resample(images, xy=strength, x0=strength * images.shape[2] / 2)


def shear_y(images: Tensor, strength: Tensor) -> Tensor:
    """Shift each column up by `strength` pixels for every pixel from the left."""
    return _resample(images, yx=strength, y0=strength * images.shape[3] / 2)


def translate_x(images: Tensor, strength: Tensor) -> Tensor:
    """Shift right by whole pixels."""
    return _resample(images, x0=-strength.trunc())


def translate_y(images: Tensor, strength: Tensor) -> Tensor:
    """Shift down by whole pixels."""
    return _resample(images, y0=-strength.trunc())


def rotate(images: Tensor, strength: Tensor) -> Tensor:
    """Turn anticlockwise by degrees, about the centre."""
    sine, cosine = strength.deg2rad().sin(), strength.deg2rad().cos()
    return _resample(images, xx=cosine, xy=-sine, yx=sine, yy=cosine)


def brightness(images: Tensor, strength: Tensor) -> Tensor:
    """Move away from black by `strength`; towards it where negative."""
    return _move_away(images, images.new_zeros(()), strength)


def color(images: Tensor, strength: Tensor) -> Tensor:
    """Move away from grey, pixel by pixel; grey images stay as they are."""
    return _move_away(images, vision.rgb_to_grayscale(images), strength)


def contrast(images: Tensor, strength: Tensor) -> Tensor:
    """Move away from the mean grey of the image."""
    grey = vision.rgb_to_grayscale(images).float()
    return _move_away(images, grey.mean((1, 2, 3), keepdim=True), strength)


def sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Move away from the smoothed image."""
    return _move_away(images, vision.adjust_sharpness(images, 0.0), strength)


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the `strength` highest bits of each byte."""
    mask = 256 - 2 ** (8 - strength.trunc())
    return images & _each(mask, images).to(torch.uint8)


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert the bytes from 255 * `strength` on."""
    return torch.where(images >= _each(255 * strength, images), 255 - images, images)


def auto_contrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel to the full range."""
    stretched: Tensor = vision.autocontrast(images)
    return stretched


def equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Flatten the histogram of each channel."""
    flat: Tensor = vision.equalize(images)
    return flat


# The fourteen of both papers, by the names that they give them.
OPERATIONS: dict[str, Operation] = {
    "Identity": identity,
    "ShearX": shear_x,
    "ShearY": shear_y,
    "TranslateX": translate_x,
    "TranslateY": translate_y,
    "Rotate": rotate,
    "Brightness": brightness,
    "Color": color,
    "Contrast": contrast,
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": auto_contrast,
    "Equalize": equalize,
}


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
