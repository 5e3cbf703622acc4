"""Images and labels as arrays in one file: .npz of NumPy, or HDF5."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from resnet_lab.data.pixels import channels_last, to_bytes
from resnet_lab.data.sources.base import Images, SplitSource
from resnet_lab.data.sources.files import open_arrays

NAMES = [("{}_images", "{}_labels"), ("x_{}", "y_{}")]  # of a split
WHOLE = [("images", "labels"), ("x", "y"), ("X", "y")]  # of a set without splits, which is train


@dataclass(frozen=True)
class ArraysFile(SplitSource):
    """Read arrays of images, [N, H, W], [N, H, W, C] or [N, C, H, W], and of their labels.

    Integers [N] or [N, 1] are classes, 0 or 1 in [N, L] several labels, floats [N] numbers.

    Args:
        file: .npz, or .h5 or .hdf5, which needs the package h5py; with arrays called as above.
        range: the values that are black and white, where they are no bytes.
    """

    file: str
    range: Literal["auto"] | list[float] = "auto"

    @property
    def classes(self) -> tuple[str, ...]:
        """The numbers of the classes or labels; one name for numbers."""
        labels = self.read("train").labels
        count = int(labels.max()) + 1 if labels.dtype == torch.int64 else labels[:1].numel()
        return tuple(map(str, range(count)))

    def found(self) -> dict[str, list[str]]:
        """Return the names of images and labels by split."""
        with open_arrays(self.file) as arrays:
            there = sorted(arrays)
        found: dict[str, list[str]] = {}
        for split in ("train", "val", "test"):
            for pair in [*NAMES, *WHOLE] if split == "train" else NAMES:
                names = [name.format(split) for name in pair]
                if set(names) <= set(there):
                    found.setdefault(split, names)
        if "train" not in found:
            raise ValueError(
                f"{self.file} needs arrays images and labels, or train_images and so on of train "
                f"and test: it has {', '.join(there) or 'nothing'}"
            )
        return found

    def read_found(self, split: str) -> Images:
        names = self.found()[split]
        with open_arrays(self.file) as arrays:
            pixels, labels = (np.asarray(arrays[name]) for name in names)
        labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
        if labels.dtype.kind not in "biuf" or pixels.shape[:1] != labels.shape[:1]:
            raise ValueError(
                f"{self.file}: {names[1]} are {labels.dtype} {labels.shape} for {names[0]} "
                f"{pixels.shape}: a number for each image is needed"
            )
        kind = np.float32 if labels.dtype.kind == "f" or labels.ndim == 2 else np.int64
        pixels = to_bytes(channels_last(pixels), self.range)
        return Images(torch.from_numpy(pixels), torch.from_numpy(labels.astype(kind)))

    def data_files(self) -> list[Path]:
        return [Path(self.file)]
