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

Key = tuple[int, int, bool]  # index of a picture, its seed, whether it is for training


class _Read(NamedTuple):
    pixels: Tensor | None  # uint8 [H, W, C]; None: the picture cannot be read
    said: str


@dataclass(eq=False, repr=False, kw_only=True)
class StreamLoader(BatchLoader):
    """A `BatchLoader` over `Pictures`.

    What a worker does depends on (seed, epoch, index of the picture) alone, so that batches are the
    same for any number of workers and after a resume.

    Args:
        workers: number of processes; 0 decodes in this one.
        crop: whether crops are random, as in training.
    """

    workers: int
    crop: bool
    _broken: set[int] = field(default_factory=set, init=False)

    def __iter__(self) -> Iterator[Batch]:
        pictures = cast(Pictures, self.images.pixels)
        plan = list(self.plan())
        keys = (
            [
                (index, seed, self.crop)
                for index, seed in zip(chosen.tolist(), self._seeds(chosen), strict=True)
            ]
            for _, chosen in plan
        )
        loader = DataLoader(
            _Decoded(pictures, self.changes),
            batch_sampler=keys,
            num_workers=self.workers,
            collate_fn=list,
            generator=torch.Generator(),  # the global one stays as it is
        )
        for (number, chosen), found in zip(plan, loader, strict=True):
            read = [one.pixels for one in found if one.pixels is not None]
            kept = torch.tensor([one.pixels is not None for one in found])
            if len(read) < len(found):
                self._leave_out(chosen, found, empty=not read)
            yield self._batch(number, torch.stack(read), self.images.labels[chosen[kept]])

    def _leave_out(self, chosen: Tensor, found: Sequence[_Read], *, empty: bool) -> None:
        """Count and name the pictures of a batch that cannot be read.

        Raises:
            ValueError: they are not to be left out, or the batch has no other.
        """
        for index, one in zip(chosen.tolist(), found, strict=True):
            if one.pixels is not None or index in self._broken:
                continue
            if empty or not cast(Pictures, self.images.pixels).skip:
                raise ValueError(one.said)
            self._broken.add(index)
            log.warning("%d left out so far: %s", len(self._broken), one.said.partition(": ")[0])


class _Decoded(Dataset[_Read]):
    """What the workers do."""

    def __init__(self, pictures: Pictures, changes: Sequence[Each]) -> None:
        self.pictures = pictures
        self.changes = changes

    def __getitem__(self, key: Key) -> _Read:
        index, seed, crop = key
        try:
            pixels = torch.from_numpy(self.pictures.load(index, seed if crop else None).copy())
        except ValueError as error:
            return _Read(None, str(error))
        return _Read(transform_each(self.changes, pixels[None], [derive_seed(seed, 1)])[0], "")
