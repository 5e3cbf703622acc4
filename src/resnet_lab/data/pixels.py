"""Convert images to bytes, uint8 [N, H, W, C], and resize them."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

Pixels = npt.NDArray[np.uint8]
Fit = Literal["crop", "pad", "stretch"]
Size = int | Sequence[int]  # of both sides, or height and width
Range = Literal["auto"] | Sequence[float]  # the values that are black and white

CHUNK = 1024  # rows or images that are scaled at once

# What a range may be, for values that do not say so themselves.
USUAL = {"u": "[0, 65535], or [0, 4095] for 12 bits", "f": "[0, 1]"}


class ByUser(ValueError):
    """Raise for images that can be read once the user states how; the message names the key."""


def sides(image_size: Size) -> tuple[int, int]:
    """Return height and width; raise a ValueError for what is no size."""
    both = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(both) != 2 or not all(type(side) is int and side >= 1 for side in both):
        raise ValueError(
            f"image_size={image_size}: must be an integer >= 1, or two as in [height, width]"
        )
    return both[0], both[1]


def check_fit(fit: str | None) -> None:
    """Raise a ValueError unless `fit` is None or one of `Fit`."""
    if fit is not None and fit not in get_args(Fit):
        raise ValueError(f"fit={fit}: choose one of {', '.join(get_args(Fit))}")


def limits(extent: Range) -> tuple[float, float] | None:
    """Return the values that are black and white, two rising numbers; None for "auto"."""
    if extent == "auto":
        return None
    ends = [] if isinstance(extent, str | bool | int | float) else list(extent)
    numbers = all(isinstance(end, int | float) for end in ends)
    if len(ends) != 2 or not numbers or not -np.inf < ends[0] < ends[1] < np.inf:
        raise ValueError(
            f"range={extent}: must be auto, or the values of black and white as in [0, 4095]"
        )
    return float(ends[0]), float(ends[1])


def to_bytes(values: npt.NDArray[Any], extent: Range = "auto") -> Pixels:
    """Scale values of any kind to bytes.

    Args:
        values: of any shape.
        extent: the values that become 0 and 255; what lies beyond is cut off. "auto" knows that
            bytes go from 0 to 255 and booleans from False to True, and of all else nothing.

    Raises:
        ByUser: the extent is not known, or cannot be that of such values.
        ValueError: some values are no numbers.
    """
    ends = limits(extent)
    if values.dtype.kind == "b":
        values, ends = values.astype(np.uint8), (0, 1)
    kind, name = values.dtype.kind, str(values.dtype)
    if kind not in "uif":
        raise ValueError(f"values of type {name} cannot be pixels: use integers or floats")
    if not values.size or (name == "uint8" and ends in (None, (0, 255))):
        return values.astype(np.uint8, copy=False)
    least, most = values.min(), values.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError(f"{name} values that are not finite (NaN or infinite)")
    if ends is None:
        raise ByUser(
            f"{name} values from {least:g} to {most:g}, and nothing says which are black and "
            f"white: state it, as in range={USUAL.get(kind, '[low, high]')}"
        )
    low, high = ends
    if kind in "ui" and not np.iinfo(values.dtype).min <= low < high <= np.iinfo(values.dtype).max:
        raise ByUser(f"{name} values cannot have range=[{low:g}, {high:g}]: state another")
    scaled = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), CHUNK):
        part = slice(start, start + CHUNK)
        shares = (values[part].astype(np.float64) - low) * (255 / (high - low))
        scaled[part] = np.rint(np.clip(shares, 0, 255))
    return scaled


def channels_last(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return images [N, H, W] or [N, C, H, W] as [N, H, W, C], which others are already."""
    if images.ndim == 3:
        return images[..., None]
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    return images


def keeps_proportions(height: int, width: int, size: tuple[int, int]) -> bool:
    """Tell whether a change of size leaves the proportions, to the nearest pixel."""
    return round(height * size[1] / width) == size[0] or round(width * size[0] / height) == size[1]


def resize(pixels: Tensor, size: tuple[int, int], fit: Fit = "stretch") -> Tensor:
    """Resize images, uint8 [B, H, W, C], to height and width: bilinear, antialiased.

    Where the proportions differ, `crop` cuts the centre out, `pad` fills up with black and
    `stretch` does not keep them. Returns float32 [B, *size, C], still from 0 to 255.
    """
    images = pixels.permute(0, 3, 1, 2).float()
    height, width = images.shape[2:]
    inner = size
    if fit != "stretch" and not keeps_proportions(height, width, size):
        across = size[1] / width > size[0] / height  # the image is narrower than it should be
        if fit == "crop":
            high = min(height, max(1, round(width * size[0] / size[1]))) if across else height
            wide = width if across else min(width, max(1, round(height * size[1] / size[0])))
            top, left = (height - high) // 2, (width - wide) // 2
            images = images[:, :, top : top + high, left : left + wide]
        elif across:
            inner = size[0], max(1, round(width * size[0] / height))
        else:
            inner = max(1, round(height * size[1] / width)), size[1]
    resized = F.interpolate(images, size=inner, mode="bilinear", antialias=True)
    top, left = ((whole - part) // 2 for whole, part in zip(size, inner, strict=True))
    if inner != size:
        margins = (left, size[1] - inner[1] - left, top, size[0] - inner[0] - top)
        resized = F.pad(resized, margins)
    return resized.permute(0, 2, 3, 1)


def resize_bytes(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images, uint8 [B, H, W, C], to height and width as bytes: bilinear, antialiased."""
    images = F.interpolate(pixels.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True)
    return images.permute(0, 2, 3, 1)
