"""Batches whose images are made of two each: mixup and CutMix.

A mixer draws from a NumPy generator, which has the Beta distribution that PyTorch draws only from
its global state. Images stay on their device; only the draws travel.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric


class Mixed(NamedTuple):
    """A batch after mixing: of each image `share` is its own and the rest its partner's."""

    images: Tensor  # float32 [B, C, H, W]
    partner: Tensor  # int64 [B], places in the batch
    share: float  # 0 to 1, one for the batch


class Mixer(Protocol):
    """What an entry of `task.mix` is."""

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Mixed:
        """Mix normalised images, float32 [B, C, H, W], and leave the given ones as they are."""
        ...


class Mixup:
    """Average each image with another of its batch (Zhang et al. 2018).

    Args:
        alpha: of Beta(alpha, alpha), from which each batch draws the share of the one; small values
            leave most batches nearly as they are, 1 makes every share as likely.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if alpha <= 0:
            raise ValueError(f"Mixup alpha={alpha}: needs a number above 0; leave mixup out for 0")
        self.alpha = alpha

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Mixed:
        share = generator.beta(self.alpha, self.alpha)
        partner = _partners(images, generator)
        return Mixed(images.lerp(images[partner], 1 - share), partner, share)


class CutMix:
    """Replace a rectangle of each image by that of another of its batch (Yun et al. 2019).

    The rectangle is the same for the whole batch. It has the aspect ratio of the image and a centre
    anywhere in it; what lies outside is cut off, and the share counts what is really replaced.

    Args:
        alpha: of Beta(alpha, alpha), from which each batch draws the share that is not replaced.
        p: probability that a batch is changed at all.
    """

    def __init__(self, alpha: float = 1.0, p: float = 1.0) -> None:
        if alpha <= 0:
            raise ValueError(f"CutMix alpha={alpha}: needs a number above 0")
        if not 0 <= p <= 1:
            raise ValueError(f"CutMix p={p}: a probability lies between 0 and 1")
        self.alpha = alpha
        self.p = p

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Mixed:
        changed = generator.random() < self.p
        side = np.sqrt(1 - generator.beta(self.alpha, self.alpha)) * changed
        partner = _partners(images, generator)
        height, width = images.shape[-2:]
        rows, columns = (_stretch(size, side, generator) for size in (height, width))
        mixed = images.clone()
        mixed[:, :, rows, columns] = images[:, :, rows, columns][partner]
        replaced = (rows.stop - rows.start) * (columns.stop - columns.start)
        return Mixed(mixed, partner, 1 - replaced / (height * width))


def mix(mixers: Sequence[Mixer], images: Tensor, seed: int) -> Mixed:
    """Mix a batch by one of some mixers, each as likely."""
    generator = np.random.default_rng(seed)
    mixer = mixers[int(generator.integers(len(mixers)))]
    return mixer(images, generator)


class LossSum(Metric):
    """The mean loss of mixed batches, kept on the device until somebody reads it."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.loss: Tensor
        self.batches: Tensor
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("batches", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def _apply(self, fn: Any, exclude_state: Sequence[str] = "") -> nn.Module:
        """Move the sums, in float32: half precision cannot add up the losses of an epoch."""
        moved: nn.Module = super()._apply(lambda t: fn(t).to(t.dtype), exclude_state)
        return moved

    def update(self, loss: Tensor) -> None:
        """Add the mean loss of a batch; training batches are all of one size."""
        self.loss += loss
        self.batches += 1

    def compute(self) -> dict[str, Tensor]:
        """Return the mean `loss` over all devices."""
        return {"loss": self.loss / self.batches}


def _partners(images: Tensor, generator: np.random.Generator) -> Tensor:
    drawn = torch.from_numpy(generator.permutation(len(images)))
    return drawn.to(images.device, non_blocking=True)


def _stretch(size: int, share: float, generator: np.random.Generator) -> slice:
    """Return about `share` of `size` pixels in a row, around one of them."""
    half = int(size * share) // 2
    centre = int(generator.integers(size))
    return slice(max(0, centre - half), min(size, centre + half))
