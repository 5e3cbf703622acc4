"""Load batches of pictures that do not fit in memory: worker processes decode and crop them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnet_lab.core.seeds import derive_seed
from resnet_lab.data.decoding.pictures import Pictures
from resnet_lab.data.loader import Batch, BatchLoader
from resnet_lab.data.transforms.each import Each, transform_each

log = logging.getLogger(__name__)

Key = tuple[int, int]  # index of a picture, and its seed


class _Read(NamedTuple):
    pixels: Tensor  # uint8 [B, H, W, C], of those that can be read
    broken: dict[int, str]  # why the others cannot, by place in the batch


@dataclass(eq=False, repr=False, kw_only=True)
class StreamLoader(BatchLoader):
    """A `BatchLoader` over `Pictures`.

    What a worker does depends on (seed, epoch, index of the picture) alone, so that batches are the
    same for any number of workers and after a resume.
    """

    workers: int  # number of processes; 0 decodes in this one
    crop: bool  # whether crops are random, as in training
    _broken: set[int] = field(default_factory=set, init=False)

    def __iter__(self) -> Iterator[Batch]:
        pictures = cast(Pictures, self.images.pixels)
        plan = list(self.plan())
        batches = (
            list(zip(chosen.tolist(), self._seeds(chosen), strict=True)) for _, chosen in plan
        )
        loader = DataLoader(
            _Decoded(pictures, self.crop, self.changes),
            sampler=batches,
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),  # the global one stays as it is
        )
        for (number, chosen), read in zip(plan, loader, strict=True):
            if read.broken:
                self._leave_out(chosen.tolist(), read)
                kept = [place for place in range(len(chosen)) if place not in read.broken]
                chosen = chosen[kept]
            yield self._batch(number, read.pixels, self.images.labels[chosen])

    def _leave_out(self, chosen: Sequence[int], read: _Read) -> None:
        """Count and name the pictures of a batch that cannot be read.

        Raises:
            ValueError: they are not to be left out, or the batch has no other.
        """
        for place, said in read.broken.items():
            if not len(read.pixels) or not cast(Pictures, self.images.pixels).skip:
                raise ValueError(said)
            if chosen[place] not in self._broken:
                self._broken.add(chosen[place])
                log.warning("%d left out so far: %s", len(self._broken), said.partition(": ")[0])


class _Decoded(Dataset[_Read]):
    """What the workers do: a batch at a time, which crosses to the main process as one tensor."""

    def __init__(self, pictures: Pictures, crop: bool, changes: Sequence[Each]) -> None:
        self.pictures = pictures
        self.crop = crop
        self.changes = changes

    def __getitem__(self, keys: Sequence[Key]) -> _Read:
        pixels: list[Tensor] = []
        seeds: list[int] = []
        broken: dict[int, str] = {}
        for place, (index, seed) in enumerate(keys):
            try:
                pixels.append(self.pictures.load(index, seed if self.crop else None))
                seeds.append(derive_seed(seed, 1))
            except ValueError as error:
                broken[place] = str(error)
        whole = torch.stack(pixels) if pixels else torch.empty(0)
        return _Read(transform_each(self.changes, whole, seeds), broken)
