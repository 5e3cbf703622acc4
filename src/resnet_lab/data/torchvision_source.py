"""Any classification data set of torchvision, by the name of its class."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_lab.data import decode
from resnet_lab.data.sources import Images, check_split, read
from resnet_lab.data.torchvision_files import construct, damaged, fetch, files_of, missing

Arguments = Mapping[str, Any] | tuple[tuple[str, Any], ...]

# What reading a split told of the classes: an equal source that finds its images already read
# would have to read them again for that.
_NAMES: dict["TorchvisionSource", tuple[str, ...]] = {}


@dataclass(frozen=True)
class TorchvisionSource:
    """A torchvision data set, in torchvision's own layout below `root`.

    What is there is used as it is: no network, and nothing is written. An archive of CIFAR or of
    the MNIST family that somebody put there is unpacked. What is missing then is downloaded by
    torchvision, which checks the MD5, and appears in `root` when it is whole.

    Args:
        dataset: name of the class in `torchvision.datasets`.
        root: the data directory.
        train: what that class is called with for the training split; a mapping.
        test: likewise for the test split.
        val: likewise; None where the set has no validation split of its own.
        channels: 1 or 3; for sets that are stored as picture files.
        image_size: height and width in pixels, likewise.
        mirrors: addresses of folders that hold the same files, tried after torchvision's own.
        download: whether the network may be used.
    """

    dataset: str
    root: str
    train: Arguments = (("train", True),)
    test: Arguments = (("train", False),)
    val: Arguments | None = None
    channels: int = 3
    image_size: int | None = None
    mirrors: tuple[str, ...] = ()
    download: bool = True

    def __post_init__(self) -> None:
        for split in self.splits:  # a mapping has no hash
            object.__setattr__(self, split, tuple(sorted(dict(getattr(self, split)).items())))
        object.__setattr__(self, "mirrors", tuple(self.mirrors))
        # Absolute, so that equal sources stay equal when the working directory changes.
        object.__setattr__(self, "root", str(Path(self.root).expanduser().absolute()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names as the set gives them, or its labels; reads a split if none was read yet."""
        if self not in _NAMES:
            read(self, "train")
        return _NAMES[self]

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and test, and val where the set has its own."""
        return ("train", "test") if self.val is None else ("train", "val", "test")

    def prepare(self) -> None:
        """Unpack or download what is missing.

        Raises:
            ValueError: no such data set, or its files are missing and cannot be fetched.
        """
        for split in self.splits:
            # Where the files are known, their presence will do: `read` checks what is in them,
            # which for CIFAR-10 costs 0.3 s a time.
            if files := files_of(self._class(), self._arguments(split)):
                if missing(files, Path(self.root)):
                    self._fetch(split)
            else:
                self._open(split)

    def read(self, split: str) -> Images:
        """Read one split, and fetch it first where it is missing; see `Source.read`."""
        check_split(split, self.splits)
        dataset = self._open(split)
        images = self._from_arrays(dataset) or self._from_pictures(dataset)
        if len(images.pixels) != len(images.labels):
            raise ValueError(
                f"{self.dataset} in {self.root} has {len(images.pixels)} images and "
                f"{len(images.labels)} labels: delete its files and fetch them again"
            )
        names = getattr(dataset, "classes", None) or range(int(images.labels.max()) + 1)
        # MNIST names its classes "0 - zero".
        _NAMES[self] = tuple(re.sub(r"^(\d+) - \w+$", r"\1", str(name)) for name in names)
        return images

    def _class(self) -> Any:
        from torchvision import datasets

        if self.dataset not in datasets.__all__:
            close = difflib.get_close_matches(self.dataset, datasets.__all__) or datasets.__all__
            raise ValueError(
                f"torchvision has no data set {self.dataset!r}: is it {' or '.join(close)}?"
            )
        return getattr(datasets, self.dataset)

    def _arguments(self, split: str) -> dict[str, Any]:
        return dict(getattr(self, split))

    def _fetch(self, split: str) -> None:
        cls, arguments = self._class(), self._arguments(split)
        fetch(cls, arguments, Path(self.root), self.mirrors, download=self.download)

    def _open(self, split: str) -> Any:
        """Return torchvision's data set of a split; fetch it first where it is missing."""
        cls, arguments, root = self._class(), self._arguments(split), Path(self.root)
        files = files_of(cls, arguments)
        if missing(files, root):
            self._fetch(split)
        try:
            return construct(cls, root, arguments, download=False)
        except Exception as error:
            # A RuntimeError may say that files are missing which we do not know of.
            if files or not isinstance(error, RuntimeError):
                raise self._unreadable(split, error) from error
        self._fetch(split)
        try:
            return construct(cls, root, arguments, download=False)
        except Exception as error:
            raise self._unreadable(split, error) from error

    def _unreadable(self, split: str, error: Exception) -> ValueError:
        arguments, root = self._arguments(split), Path(self.root)
        if bad := damaged(files_of(self._class(), arguments), root):
            more = f" and {len(bad) - 1} more" if bad[1:] else ""
            return ValueError(
                f"{bad[0]}{more} cannot be read or is damaged: delete it and start again"
            )
        return ValueError(
            f"torchvision's {self.dataset} cannot be read from {root} with {arguments}: "
            f"{decode.one_line(error)}"
        )

    def _from_arrays(self, dataset: Any) -> Images | None:
        """Return the arrays that a data set holds in memory; None if it does not."""
        data = getattr(dataset, "data", None)
        labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
        if not isinstance(data, np.ndarray | Tensor) or labels is None:
            return None
        pixels, targets = torch.as_tensor(data), torch.as_tensor(labels, dtype=torch.int64)
        if pixels.dtype != torch.uint8 or targets.ndim != 1:
            return None
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(-1)
        elif pixels.shape[1] in (1, 3) and pixels.shape[3] not in (1, 3):
            pixels = pixels.permute(0, 2, 3, 1)
        return Images(pixels.contiguous(), targets)

    def _from_pictures(self, dataset: Any) -> Images:
        """Return the pictures that a data set opens one by one."""
        if self.image_size is None:
            raise ValueError(
                f"{self.dataset} is stored as picture files: set data.source.image_size to the "
                "height and width that they are to have"
            )
        size, channels = self.image_size, self.channels
        decode.check_form(size, channels, "crop")
        pixels = decode.allocate((len(dataset), size, size, channels))
        labels = torch.empty(len(dataset), dtype=torch.int64)

        def load(index: int) -> decode.Pixels:
            image, labels[index] = dataset[index]
            return decode.to_pixels(image, size, channels)

        decode.decode_all(pixels, load, name=lambda index: f"number {index} of {self.dataset}")
        return Images(torch.from_numpy(pixels), labels)
