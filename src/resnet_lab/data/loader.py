"""Batches of a data set that lies in memory, each by one index operation."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from resnet_lab.data.sources.base import Images


class Batch(NamedTuple):
    """What a loader yields, before `ImageDataModule.on_after_batch_transfer`."""

    pixels: Tensor  # uint8 [B, H, W, C]
    labels: Tensor  # int64 [B]
    seed: int  # of this batch's augmentation


class BatchLoader:
    """Iterate over some of the images of a set, in batches.

    Order and augmentation are functions of (seed, epoch, batch, rank) and of nothing else, so a run
    that goes on after an interruption sees what it would have seen, and no global random state is
    read or written.

    Args:
        images: the whole set; never written to.
        indices: the images that are iterated over, int64 [n].
        batch_size: images in a batch, over all processes together.
        shuffle: a new order each epoch; otherwise the given one.
        drop_last: leave out the few images that do not fill a batch; otherwise the last batch is
            shorter.
        seed: of order and augmentation.
        rank: of this process; it gets every `world_size`-th image of each batch.
        world_size: number of processes that share the batches.
        pin: copy each batch to page-locked memory, from which a GPU fetches it without waiting.
    """

    def __init__(
        self,
        images: Images,
        indices: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin: bool = False,
    ) -> None:
        self.images = images
        self.indices = indices.to(images.labels.device)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.pin = pin
        self.epoch = 0
        self._next = 0  # batch of the iteration under way
        self._resume = {"epoch": 0, "next": 0}
        # Lightning calls `sampler.set_epoch` with the epoch that begins, also after a resume; and
        # trainer.overfit_batches warns of any sampler that is no SequentialSampler.
        self.sampler = self if shuffle else _InOrder(self)
        self.batch_sampler = None  # read by Lightning wherever there is a sampler

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and augmentation of the next iteration."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Return how far the iteration is; Lightning stores it in every checkpoint."""
        return {"epoch": self.epoch, "next": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on in the middle of that epoch, should it be the one that is iterated over next."""
        self._resume = state

    def __len__(self) -> int:
        whole, rest = divmod(len(self.indices), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        order = self.indices
        if self.shuffle:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
            order = order[torch.randperm(len(order), generator=generator).to(order.device)]
        first = self._resume["next"] if self._resume["epoch"] == self.epoch else 0
        self._resume = {"epoch": 0, "next": 0}
        for number, chosen in enumerate(torch.split(order, self.batch_size)[: len(self)]):
            if number < first:
                continue
            if self.world_size > 1:
                chosen = chosen[self.rank :: self.world_size]
            pixels, labels = (part.index_select(0, chosen) for part in self.images)
            if self.pin:
                pixels, labels = pixels.pin_memory(), labels.pin_memory()
            self._next = number + 1
            yield Batch(pixels, labels, derive_seed(self.seed, self.epoch, number, self.rank))


class _InOrder(SequentialSampler):
    """Tell Lightning that a loader does not shuffle, and tell the loader which epoch begins."""

    def __init__(self, loader: BatchLoader) -> None:
        super().__init__(loader.indices)
        self.set_epoch = loader.set_epoch


def derive_seed(*parts: int) -> int:
    """Mix whole numbers into one 63-bit seed; neighbouring inputs give unrelated seeds.

    Each part goes through the finaliser of SplitMix64 (Steele et al. 2014).
    """
    mask = (1 << 64) - 1
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1
