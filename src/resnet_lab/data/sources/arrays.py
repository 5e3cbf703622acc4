"""Images and labels as arrays in one file: .npz of NumPy, or HDF5."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from resnet_lab.data.pixels import to_bytes
from resnet_lab.data.sources.base import Images, Settled, check_split, part_of

# What the arrays of a split are called; the last ones are of a set that has no test split.
NAMES = (("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("images", "labels"), ("x", "y"), ("X", "y"))


@dataclass(frozen=True)
class ArraysFile(Settled):
    """Read arrays of images, [N, H, W], [N, H, W, C] or [N, C, H, W], and of their labels.

    They are called `train_images` and `train_labels`, or `x_train` and `y_train`, likewise of `val`
    and `test`; or `images` and `labels`, or `x` and `y`, of which a part is set aside for the test.
    Integers [N] or [N, 1] are classes, 0 or 1 in [N, L] several labels, floats [N] numbers.

    Args:
        file: .npz, or .h5 or .hdf5, which needs the package h5py.
        range: the values that are black and white, where they are no bytes.
        test_fraction: share that is set aside, where there is no test split.
    """

    file: str
    range: Literal["auto"] | list[float] = "auto"
    test_fraction: float = 0.2

    @property
    def classes(self) -> tuple[str, ...]:
        """The numbers of the classes or labels; one name for numbers."""
        labels = self.read("train").labels
        count = int(labels.max()) + 1 if labels.dtype == torch.int64 else labels[:1].numel()
        return tuple(map(str, range(count)))

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and test, and val where the file has one."""
        own = self._within(lambda arrays: _names(arrays, "val"))
        return ("train", "val", "test") if own else ("train", "test")

    def prepare(self) -> None:
        """Check that the file has what it must have."""
        if not self._within(lambda arrays: _names(arrays, "train") or _names(arrays, "")):
            there = ", ".join(self._within(sorted)) or "nothing"
            raise ValueError(f"{self.file} needs arrays images and labels, or {NAMES[0][0]} and so "
                             f"on of train and test: it has {there}")  # fmt: skip

    def read(self, split: str) -> Images:
        """Read one split; see `Source.read`."""
        check_split(split, self.splits)
        own = self._within(lambda arrays: _names(arrays, split))
        names = own or self._within(lambda arrays: _names(arrays, "train") or _names(arrays, ""))
        pixels, labels = self._within(lambda arrays: [np.asarray(arrays[name]) for name in names])
        if pixels.ndim == 4 and pixels.shape[3] not in (1, 3) and pixels.shape[1] in (1, 3):
            pixels = pixels.transpose(0, 2, 3, 1)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.dtype.kind not in "biuf" or pixels.shape[:1] != labels.shape[:1]:
            raise ValueError(
                f"{self.file}: {names[1]} are {labels.dtype} {labels.shape} for {names[0]} "
                f"{pixels.shape}: a number for each image is needed"
            )
        kind = np.float32 if labels.dtype.kind == "f" or labels.ndim == 2 else np.int64
        pixels = to_bytes(pixels[..., None] if pixels.ndim == 3 else pixels, self.range)
        images = Images(torch.from_numpy(pixels), torch.from_numpy(labels.astype(kind)))
        alone = split != "val" and not self._within(lambda arrays: _names(arrays, "test"))
        return part_of(images, split, self.test_fraction) if alone else images

    def data_files(self) -> list[Path]:
        """Return the file."""
        return [Path(self.file)]

    def _within(self, look: Callable[[Any], Any]) -> Any:
        """Call a function with the open file."""
        try:
            if self.file.endswith((".h5", ".hdf5")):
                from h5py import File
            else:
                File = np.load
            with File(self.file) as arrays:
                return look(arrays)
        except ImportError:
            raise ValueError(f"{self.file}: needs h5py: pip install 'resnet-lab[hdf5]'") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"data.file={self.file} cannot be read: {error}") from error


def _names(arrays: Any, split: str) -> list[str]:
    """Return what images and labels of a split are called; of a set without splits for ""."""
    pairs = [[name.format(split) for name in pair] for pair in (NAMES[:2] if split else NAMES[2:])]
    return next((pair for pair in pairs if all(name in arrays for name in pair)), [])
