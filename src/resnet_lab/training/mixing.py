"""Mix the images of a batch in pairs: mixup and CutMix.

A mixer draws from a NumPy generator, since PyTorch draws a Beta distribution only from its global
state. Images stay on their device; only the draws are moved.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from resnet_lab.training.metrics import Sums


class Mixed(NamedTuple):
    """A mixed batch: `share` of each image is its own and the rest its partner's."""

    images: Tensor  # float32 [B, C, H, W]
    partner: Tensor  # int64 [B], places in the batch
    share: float  # 0 to 1, one for the batch


class Mixer(Protocol):
    """An entry of `task.mix`."""

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Mixed:
        """Return normalised images, float32 [B, C, H, W], mixed; the given ones stay unchanged."""
        ...


class Mixup:
    """Average each image with another of its batch (Zhang et al. 2018).

    Args:
        alpha: of Beta(alpha, alpha), from which each batch draws the share of the first image;
            small values leave most batches nearly unmixed, 1 makes all shares equally likely.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if alpha <= 0:
            raise ValueError(f"Mixup alpha={alpha}: must be a number > 0; leave mixup out for 0")
        self.alpha = alpha

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Mixed:
        share = generator.beta(self.alpha, self.alpha)
        partner = _partners(images, generator)
        return Mixed(images.lerp(images[partner], 1 - share), partner, share)


class CutMix:
    """Replace a rectangle of each image by that of another of its batch (Yun et al. 2019).

    The rectangle is the same for the whole batch. It has the aspect ratio of the image and a centre
    anywhere in it, and is clipped at the border; the share counts the pixels that are replaced.

    Args:
        alpha: of Beta(alpha, alpha), from which each batch draws the share that is not replaced.
        p: probability that a batch is changed at all.
    """

    def __init__(self, alpha: float = 1.0, p: float = 1.0) -> None:
        if alpha <= 0:
            raise ValueError(f"CutMix alpha={alpha}: must be a number > 0")
        if not 0 <= p <= 1:
            raise ValueError(f"CutMix p={p}: must be a probability, 0 to 1")
        self.alpha = alpha
        self.p = p

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Mixed:
        changed = generator.random() < self.p
        side = np.sqrt(1 - generator.beta(self.alpha, self.alpha)) * changed
        partner = _partners(images, generator)
        height, width = images.shape[-2:]
        rows, columns = (_interval(size, side, generator) for size in (height, width))
        mixed = images.clone()
        mixed[:, :, rows, columns] = images[:, :, rows, columns][partner]
        replaced = (rows.stop - rows.start) * (columns.stop - columns.start)
        return Mixed(mixed, partner, 1 - replaced / (height * width))


def mix(mixers: Sequence[Mixer], images: Tensor, seed: int) -> Mixed:
    """Mix a batch by one of the mixers, drawn with equal probability."""
    generator = np.random.default_rng(seed)
    mixer = mixers[int(generator.integers(len(mixers)))]
    return mixer(images, generator)


class LossSum(Sums):
    """Mean loss of mixed batches, kept on the device until it is read."""

    loss: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__(loss=torch.zeros(()), batches=torch.zeros((), dtype=torch.int64))

    def update(self, loss: Tensor) -> None:
        """Add the mean loss of a batch; all training batches have one size."""
        self.loss += loss
        self.batches += 1

    def compute(self) -> dict[str, Tensor]:
        return {"loss": self.loss / self.batches}


def _partners(images: Tensor, generator: np.random.Generator) -> Tensor:
    drawn = torch.from_numpy(generator.permutation(len(images)))
    return drawn.to(images.device, non_blocking=True)


def _interval(size: int, share: float, generator: np.random.Generator) -> slice:
    """Return a random interval of about `share` of `size` pixels, clipped at the ends."""
    half = int(size * share) // 2
    centre = int(generator.integers(size))
    return slice(max(0, centre - half), min(size, centre + half))
