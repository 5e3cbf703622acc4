"""Load batches of a data set that lies in memory, each by one index operation."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from resnet_lab.core.seeds import derive_seed
from resnet_lab.data.sources.base import Images
from resnet_lab.data.splits import groups
from resnet_lab.data.transforms.each import Each, transform_each


class Batch(NamedTuple):
    """A batch before `ImageDataModule.on_after_batch_transfer`."""

    pixels: Tensor  # uint8 [B, H, W, C]
    labels: Tensor  # int64 [B]
    seed: int  # of this batch's augmentation


@dataclass(eq=False, repr=False)
class BatchLoader:
    """Iterate over some of the images of a set, in batches.

    Order and augmentation depend on (seed, epoch, batch, rank) alone, so a resumed run sees the
    batches that it would have seen, and no global random state is read or written.

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
        balanced: draw the images of an epoch anew, with repetition, so that all classes come up
            equally often.
        pin: copy each batch to page-locked memory, from which a GPU fetches it without waiting.
        changes: transforms of each image, seeded by (seed, epoch, index of the image).
    """

    images: Images
    indices: Tensor
    batch_size: int
    _: KW_ONLY
    shuffle: bool = False
    drop_last: bool = False
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    balanced: bool = False
    pin: bool = False
    changes: Sequence[Each] = ()

    def __post_init__(self) -> None:
        self.indices = self.indices.to(self.images.labels.device)
        self.epoch = 0
        self._next = 0  # batch of the current iteration
        self._resume = {"epoch": 0, "next": 0}
        # Lightning calls `sampler.set_epoch` with the epoch that begins, also after a resume; and
        # trainer.overfit_batches warns of any sampler that is no SequentialSampler.
        self.sampler = self if self.shuffle else _InOrder(self)
        self.batch_sampler = None  # read by Lightning wherever there is a sampler

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the order and augmentation of the next iteration."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Return the position in the epoch; Lightning stores it in every checkpoint."""
        return {"epoch": self.epoch, "next": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._resume = state

    def __len__(self) -> int:
        whole, rest = divmod(len(self.indices), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def plan(self) -> Iterator[tuple[int, Tensor]]:
        """Yield number and indices of the batches of this process, from where a resume begins."""
        order = self.indices
        if self.shuffle:
            seed = derive_seed(self.seed, self.epoch)
            if self.balanced:
                order = drawn_evenly(order, self.images.labels, seed)
            else:
                order = shuffled(order, seed)
        first = self._resume["next"] if self._resume["epoch"] == self.epoch else 0
        self._resume = {"epoch": 0, "next": 0}
        for number, chosen in enumerate(torch.split(order, self.batch_size)[: len(self)]):
            if number < first:
                continue
            if self.world_size > 1:
                chosen = chosen[self.rank :: self.world_size]
            yield number, chosen

    def __iter__(self) -> Iterator[Batch]:
        for number, chosen in self.plan():
            pixels, labels = (part.index_select(0, chosen) for part in self.images)
            if self.changes:
                pixels = transform_each(self.changes, pixels, self._seeds(chosen))
            yield self._batch(number, pixels, labels)

    def _batch(self, number: int, pixels: Tensor, labels: Tensor) -> Batch:
        """Return batch `number`, and note that it was given out."""
        if self.pin:
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        self._next = number + 1
        return Batch(pixels, labels, derive_seed(self.seed, self.epoch, number, self.rank))

    def _seeds(self, chosen: Tensor) -> list[int]:
        return [derive_seed(self.seed, self.epoch, index) for index in chosen.tolist()]


class _InOrder(SequentialSampler):
    """Tell Lightning that a loader does not shuffle, and tell the loader which epoch begins."""

    def __init__(self, loader: BatchLoader) -> None:
        super().__init__(loader.indices)
        self.set_epoch = loader.set_epoch


def shuffled(indices: Tensor, seed: int) -> Tensor:
    """Return indices in an order that the seed alone decides."""
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
    return indices[order.to(indices.device)]


def drawn_evenly(indices: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Return as many indices, drawn with repetition: first a class, then one of its images.

    `labels` are those of the whole set, see `resnet_lab.data.splits.groups`.
    """
    group = groups(labels[indices].cpu())
    ends = (1 / torch.bincount(group).double())[group].cumsum(0)
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(len(indices), generator=generator, dtype=torch.float64) * ends[-1]
    chosen = torch.searchsorted(ends, places, right=True).clamp_max(len(indices) - 1)
    return indices[chosen.to(indices.device)]
