"""Normalisation of images, and the mean and std of a training set."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from resnet_lab.data.decoding.pictures import on_disk

LARGE = 2**16  # numbers of an image from which on a CPU normalises them one by one
STREAMED = 2048  # pictures on disk that mean and std are measured on


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn bytes [B, H, W, C] into normalised float32 [B, C, H, W] in channels_last.

    Mean and standard deviation are those of each channel, in [0, 1].
    """
    batch, height, width, channels = pixels.shape
    shift, scale = _row(tuple(mean), tuple(std), width, pixels.device)
    rows = pixels.reshape(batch, height, width * channels)
    found = torch.empty(rows.shape, dtype=torch.float32, device=pixels.device)
    # One by one they stay in the core's cache: 29 instead of 39 ms for 64 images of 224 x 224.
    alone = pixels.device.type == "cpu" and height * width * channels >= LARGE
    several = 1 if alone else batch
    parts = (torch.split(every, several) for every in (rows, found))
    for part, floats in zip(*parts, strict=True):
        torch.addcmul(shift, floats.copy_(part), scale, out=floats)
    return found.view(pixels.shape).permute(0, 3, 1, 2)


@lru_cache(maxsize=4)
def _row(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return shift and scale of the bytes of a row of an image.

    A whole row, so that the innermost loop is that long and not `channels`: 8 times as fast on a
    CPU.
    """
    spread = torch.tensor(std, dtype=torch.float64)
    shift, scale = -torch.tensor(mean, dtype=torch.float64) / spread, 1 / (255 * spread)
    return (
        shift.repeat(width).to(device, torch.float32),
        scale.repeat(width).to(device, torch.float32),
    )


def mean_and_std(pixels: Tensor, indices: Tensor) -> tuple[list[float], list[float]]:
    """Measure mean and population std per channel, in [0, 1], of uint8 [N, H, W, C] at `indices`.

    Raises a ValueError if a channel is constant.
    """
    channels = pixels.shape[-1]
    if on_disk(pixels):  # some of them are enough
        indices = indices[:: max(1, len(indices) // STREAMED)]
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
