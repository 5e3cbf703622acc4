"""Random erasing of a whole batch at once."""

import functools
import math
from typing import Literal

import torch
from torch import Tensor

from resnet_lab.data.transforms.base import send

TRIES = 10  # for a rectangle that fits, as torchvision


class RandomErasing:
    """Overwrite a rectangle of each image with probability `p` (Zhong et al. 2020, algorithm 1).

    Each image draws its own. As in torchvision the aspect ratio is uniform on a logarithmic scale,
    and an image whose ten tries all leave no margin stays as it is.

    Args:
        p: probability that an image is erased at all.
        scale: least and greatest area of the rectangle, as a share of the image.
        ratio: least and greatest height of the rectangle over its width.
        value: what is written: "random" for a random byte at each pixel and channel, as the paper
            prefers; or a shade from 0 (black) to 1 (white), one for all channels or one for each.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: list[float] | tuple[float, float] = (0.02, 0.4),
        ratio: list[float] | tuple[float, float] = (0.3, 3.3),
        value: float | list[float] | Literal["random"] = "random",
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"RandomErasing p={p}: a probability lies between 0 and 1")
        if len(scale) != 2 or not 0 <= scale[0] <= scale[1] <= 1:
            raise ValueError(f"RandomErasing scale={scale}: needs two rising shares from 0 to 1")
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"RandomErasing ratio={ratio}: needs two rising numbers above 0")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.shade: Tensor | None = None  # uint8 [1] or [C]; None: random
        if value != "random":
            shades = torch.tensor(value, dtype=torch.float64).flatten()
            if not ((shades >= 0) & (shades <= 1)).all():
                raise ValueError(f"RandomErasing value={value}: use random, or 0 (black) to 1")
            self.shade = (255 * shades).round().to(torch.uint8)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        batch, height, width, channels = images.shape

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*shape, batch, generator=generator)

        area = height * width * uniform(*self.scale, TRIES)
        ratio = uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), TRIES).exp()
        heights, widths = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (heights < height) & (widths < width)
        first = fits.int().argmax(0, keepdim=True)
        chosen = (uniform(0, 1) < self.p) & fits.any(0)
        tall = heights.gather(0, first)[0] * chosen
        wide = widths.gather(0, first)[0] * chosen
        top = (uniform(0, 1) * (height - tall + 1)).floor()
        left = (uniform(0, 1) * (width - wide + 1)).floor()

        edges = torch.stack([top, top + tall, channels * left, channels * (left + wide)])
        top, bottom, left, right = send(edges, images.device)[..., None]
        y, x = (torch.arange(n, device=images.device) for n in (height, width * channels))
        # By bits, and in rows of bytes: several times as fast as `where` on a CPU.
        rows, columns = (
            inside.to(torch.uint8) * 255
            for inside in ((top <= y) & (y < bottom), (left <= x) & (x < right))
        )
        mask = rows[:, :, None] & columns[:, None, :]
        pixels = images.reshape(batch, height, width * channels)
        filling = self._filling(pixels, channels, generator)
        erased: Tensor = (filling & mask) | (pixels & ~mask)
        return erased.view(images.shape)

    def _filling(self, pixels: Tensor, channels: int, generator: torch.Generator) -> Tensor:
        if self.shade is None:
            seed = int(torch.randint(-(2**63), 2**63 - 1, (), generator=generator))
            return _noise(seed, pixels.numel(), pixels.device).view(pixels.shape)
        elif len(self.shade) in (1, channels):
            filling = self.shade.repeat(pixels.shape[-1] // len(self.shade))
        else:
            raise ValueError(
                f"RandomErasing value has {len(self.shade)} shades for images of {channels} "
                "channels: give one, or one per channel"
            )
        return send(filling, pixels.device)


def _noise(seed: int, count: int, device: torch.device) -> Tensor:
    """Return random bytes [count], made on the device: the same ones on every device.

    Each eight are a function of the seed and their number, mixed by two rounds of shift and
    multiply as in SplitMix64 (Steele et al. 2014). A torch.Generator gives another stream on a GPU.
    """
    state = _steps(-(-count // 8), device) + seed
    upper = torch.empty_like(state)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        torch.bitwise_right_shift(state, 32, out=upper)
        state.bitwise_xor_(upper).mul_(factor - 2**64)
    return state.view(torch.uint8)[:count]


@functools.lru_cache(maxsize=2)
def _steps(count: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(1, count + 1, device=device) * (0x9E3779B97F4A7C15 - 2**64)
