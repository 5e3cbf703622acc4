"""The interface of a source of images, and one shared cache of what was read."""

from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Images(NamedTuple):
    """A labelled set of images in memory."""

    pixels: Tensor  # uint8 [N, H, W, C], contiguous
    labels: Tensor  # int64 [N]


class Source(Protocol):
    """Interface of a data set; hashable, so that equal sources share what was read."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, index = label; may need `prepare` first."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: train and test, and val where the source has its own."""
        ...

    def __hash__(self) -> int:
        """Equal sources are read once."""
        ...

    def prepare(self) -> None:
        """Fetch what is missing; safe when several processes call it at once."""
        ...

    def read(self, split: str) -> Images:
        """Read that split and no other.

        Raises:
            ValueError: no such split, or its files are missing or damaged.
        """
        ...


@lru_cache(maxsize=3)  # train, val and test of one source
def read(source: Source, split: str) -> Images:
    """Read a split once for all the jobs of this process.

    The tensors are shared: do not write to them.
    """
    return _checked(source.read(split), f"{type(source).__name__}.read({split!r})")


def _checked(images: Images, of: str) -> Images:
    """Return images as the loader needs them.

    Raises:
        ValueError: they are not what `Source.read` promises; names the remedy.
    """
    pixels, labels = images
    shape, wrong = tuple(pixels.shape), ""
    if pixels.ndim != 4:
        wrong = "pixels.unsqueeze(-1)" if pixels.ndim == 3 else "four dimensions"
    elif shape[3] not in (1, 3) and shape[1] in (1, 3):
        wrong = "pixels.permute(0, 2, 3, 1)"
    if wrong:
        raise ValueError(f"{of} gives pixels {shape} where [N, H, W, C] is needed: use {wrong}")
    if pixels.dtype != torch.uint8:
        raise ValueError(
            f"{of} gives pixels of {pixels.dtype} where uint8 is needed: scale them with "
            "resnet_lab.data.pixels.to_bytes(array, [black, white])"
        )
    if labels.shape != shape[:1] or labels.dtype != torch.int64 or not len(labels):
        raise ValueError(
            f"{of} gives labels {tuple(labels.shape)} of {labels.dtype} for pixels {shape}: one "
            "int64 is needed for each image, and one image at least"
        )
    if int(labels.min()) < 0:
        raise ValueError(f"{of} gives the label {int(labels.min())}: classes count from 0")
    return Images(pixels.contiguous(), labels)


def check_split(split: str, splits: tuple[str, ...]) -> None:
    """Raise a ValueError unless `split` is one of `splits`."""
    if split not in splits:
        raise ValueError(f"no split {split!r}: this source has {', '.join(splits)}")
