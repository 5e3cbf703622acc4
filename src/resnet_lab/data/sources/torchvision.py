"""A classification data set of torchvision, by the name of its class."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from resnet_lab.data.decoding import decode
from resnet_lab.data.pixels import ByUser, to_bytes
from resnet_lab.data.sources.base import Images, PictureSource, check_split, part_of, read
from resnet_lab.data.sources.downloads import construct, damaged, fetch, files_of, splits_of

Arguments = Mapping[str, Any] | tuple[tuple[str, Any], ...]

# What reading a split told of the classes: an equal source that finds its images already read
# would have to read them again for that.
_NAMES: dict["TorchvisionSource", tuple[str, ...]] = {}


@dataclass(frozen=True)
class TorchvisionSource(PictureSource):
    """A torchvision data set, in torchvision's own layout below `root`.

    What is there is used as it is: no network, and nothing is written. An archive of CIFAR or of
    the MNIST family that somebody put there is unpacked. What is missing then is downloaded by
    torchvision, which checks the MD5, and appears in `root` when it is whole.

    It serves every set whose items are a picture and the number of a class: those that torchvision
    holds as arrays (CIFAR, the MNIST family, SVHN, STL10, USPS, SEMEION) and those that it opens
    file by file. Sets of other targets (attributes, boxes, captions) and of videos are refused.
    EMNIST, whose files hold transposed images, is turned upright.

    Args:
        dataset: name of the class in `torchvision.datasets`.
        root: the data directory.
        options: what that class is called with for every split; a null is left out.
        train: what it is called with besides for the training split; a mapping. None: this and the
            other splits follow from what the class takes, `train=` or `split=`.
        test: likewise for the test split. Where it is the same as `train`, because the set has no
            split of its own (EuroSAT, Caltech101: both are {}), a part is set aside.
        val: likewise; None where the set has no validation split of its own.
        mirrors: addresses of folders that hold the same archives, tried before torchvision's own.
        download: whether the network may be used.
    """

    dataset: str
    root: str
    train: Arguments | None = (("train", True),)
    test: Arguments = (("train", False),)
    val: Arguments | None = None
    channels: int | None = field(default=3, kw_only=True)
    mirrors: tuple[str, ...] = ()
    download: bool = True
    options: Arguments = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        options = dict(self.options)
        if self.train is None:
            for split, arguments in splits_of(self._class(), options).items():
                object.__setattr__(self, split, arguments)
        for split in self.splits:  # a mapping has no hash
            arguments = {**options, **dict(getattr(self, split))}
            object.__setattr__(self, split, tuple(sorted(arguments.items())))
        object.__setattr__(self, "options", ())

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
            self._fetch(split)

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
        if names[0] == "N/A":  # EMNIST counts letters from 1
            names, images = names[1:], images._replace(labels=images.labels - 1)
        # MNIST names its classes "0 - zero".
        _NAMES[self] = tuple(re.sub(r"^(\d+) - \w+$", r"\1", str(name)) for name in names)
        if split != "val" and self.train == self.test:
            return part_of(images, split, self.test_fraction)
        return images

    def data_files(self) -> list[Path]:
        """Return the files that torchvision names for this set; none if it names none."""
        cls = self._class()
        listed = (files_of(cls, self._arguments(split)) for split in self.splits)
        return [Path(self.root) / file.path for files in listed for file in files]

    def looks(self) -> list[decode.Look]:
        """Return width, height and mode of some training pictures."""
        dataset = self._open("train")
        return decode.looks(len(dataset), lambda index: dataset[index][0])

    def _class(self) -> Any:
        from torchvision import datasets

        if self.dataset not in datasets.__all__:
            close = difflib.get_close_matches(self.dataset, datasets.__all__)
            way = f"is it {' or '.join(close)}?" if close else "see torchvision.datasets"
            raise ValueError(f"torchvision has no data set {self.dataset!r}: {way}")
        return getattr(datasets, self.dataset)

    def _arguments(self, split: str) -> dict[str, Any]:
        return dict(getattr(self, split))

    def _fetch(self, split: str) -> None:
        cls, arguments = self._class(), self._arguments(split)
        fetch(cls, arguments, Path(self.root), self.mirrors, download=self.download)

    def _open(self, split: str) -> Any:
        """Return torchvision's data set of a split; fetch it first where it is missing."""
        self._fetch(split)
        cls, arguments, root = self._class(), self._arguments(split), Path(self.root)
        try:
            return construct(cls, root, arguments)
        except Exception as error:  # torchvision raises many kinds
            if bad := damaged(files_of(cls, arguments), root):
                more = f" and {len(bad) - 1} more" if bad[1:] else ""
                raise ValueError(
                    f"{bad[0]}{more} cannot be read or is damaged: delete it and start again"
                ) from error
            more = "; set it as data.options" if "required" in str(error) else ""
            raise ValueError(
                f"torchvision's {self.dataset} cannot be read from {root} with {arguments}: "
                f"{decode.error_text(error)}{more}"
            ) from error

    def _from_arrays(self, dataset: Any) -> Images | None:
        """Return the arrays that a data set holds in memory; None if it does not."""
        data = getattr(dataset, "data", None)
        labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
        if not isinstance(data, np.ndarray | Tensor) or labels is None:
            return None
        targets = torch.as_tensor(labels, dtype=torch.int64)
        if targets.ndim != 1:
            return None
        pixels = torch.from_numpy(to_bytes(np.asarray(data), self.range))
        if self.dataset == "EMNIST":
            pixels = pixels.transpose(1, 2)
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(-1)
        elif pixels.shape[1] in (1, 3) and pixels.shape[3] not in (1, 3):
            pixels = pixels.permute(0, 2, 3, 1)
        return Images(pixels.contiguous(), targets)

    def _from_pictures(self, dataset: Any) -> Images:
        """Return the pictures that a data set opens one by one."""
        if self.image_size is None or self.channels is None:
            raise ValueError(
                f"{self.dataset} is stored as picture files: set data.source.image_size to the "
                "height and width that they are to have"
            )
        labels = torch.empty(len(dataset), dtype=torch.int64)

        def picture(index: int) -> Image:
            image, target = dataset[index]
            if not isinstance(image, Image) or not isinstance(target, int | np.integer):
                raise ByUser(
                    f"a {type(image).__name__} and a {type(target).__name__} are no picture and "
                    "class: this is no classification set, or needs other arguments"
                )
            labels[index] = int(target)
            return image

        pixels = decode.decode_pictures(
            len(dataset), picture, self.form, lambda index: f"number {index} of {self.dataset}"
        )
        return Images(pixels, labels)
