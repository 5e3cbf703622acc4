"""Where images come from: what a source is, one shared cache of what was read, and the digits."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from resnet_lab.data.pixels import sides
from resnet_lab.data.splits import stratified_split


class Images(NamedTuple):
    """A labelled set of images in memory."""

    pixels: Tensor  # uint8 [N, H, W, C], contiguous
    labels: Tensor  # int64 [N]


class Source(Protocol):
    """What a data set must offer; hashable, so that equal sources share what was read."""

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
        ValueError: they are not what a source has to give; says what to do in its `read`.
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


@dataclass(frozen=True)
class Digits:
    """The 1,797 handwritten digits of UCI (8x8, grey) that scikit-learn bundles: no download.

    They have no official test split. A stratified fifth, drawn once by a fixed seed, is the test
    split: part of what this data set is, whatever seeds a run uses.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """The ten digits."""
        return tuple("0123456789")

    @property
    def splits(self) -> tuple[str, ...]:
        """Train (1,437 images) and test (360)."""
        return ("train", "test")

    def prepare(self) -> None:
        """Do nothing: the images come with scikit-learn."""

    def read(self, split: str) -> Images:
        """Read one split; see `Source.read`."""
        check_split(split, self.splits)
        # Measured: 0.15 s for this import after Lightning's, and reading the bundled csv.gz
        # without it takes as long as load_digits itself. Not worth reaching into its files.
        from sklearn.datasets import load_digits

        digits = load_digits()  # values from 0 to 16
        pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))
        labels = torch.from_numpy(digits.target.astype(np.int64))
        chosen = stratified_split(labels, size=360, seed=0)[self.splits.index(split)]
        return Images(pixels[chosen].unsqueeze(-1), labels[chosen])


def check_split(split: str, splits: tuple[str, ...]) -> None:
    """Raise a ValueError unless `split` is one of `splits`."""
    if split not in splits:
        raise ValueError(f"no split {split!r}: this source has {', '.join(splits)}")


class RandomImages:
    """A source of random images, of the shape of a data set that is not on this machine."""

    splits = ("train", "test")

    def __init__(
        self, num_classes: int, size: int | list[int], channels: int, count: int = 10_000
    ) -> None:
        self.classes = tuple(str(label) for label in range(num_classes))
        self.shape = (count, *sides(size), channels)

    def prepare(self) -> None:
        """Do nothing."""

    def read(self, split: str) -> Images:
        """Draw the images of a split."""
        labels = torch.arange(self.shape[0]) % len(self.classes)
        return Images(torch.randint(0, 256, self.shape, dtype=torch.uint8), labels)
