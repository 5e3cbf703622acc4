"""Images as bytes, uint8 [N, H, W, C]: their statistics and their size."""

import torch
from torch import Tensor
from torch.nn import functional as F


def resize(pixels: Tensor, size: int) -> Tensor:
    """Resize uint8 [B, H, W, C] to [B, size, size, C]: bilinear, antialiased."""
    images = pixels.permute(0, 3, 1, 2)
    resized = F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1)


def mean_and_std(pixels: Tensor, indices: Tensor) -> tuple[list[float], list[float]]:
    """Measure mean and population std per channel, in [0, 1].

    Args:
        pixels: uint8 [N, H, W, C].
        indices: of the images that count.

    Raises:
        ValueError: a channel is constant.
    """
    channels = pixels.shape[-1]
    histogram = torch.zeros(channels, 256, dtype=torch.float64)  # exact, in one pass
    for chunk in torch.split(indices, 1024):
        values = pixels.index_select(0, chunk).view(-1, channels)
        for channel in range(channels):
            histogram[channel] += torch.bincount(values[:, channel], minlength=256)
    weights = histogram / histogram.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = weights @ levels
    std = (weights @ levels**2 - mean**2).clamp_min(0).sqrt()
    if (std == 0).any():
        raise ValueError("a channel of the training images is constant: it cannot be normalised")
    return mean.tolist(), std.tolist()
