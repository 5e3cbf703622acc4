"""A classification data set of torchvision, by the name of its class."""

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from resnet_lab.data.decoding import decode
from resnet_lab.data.pixels import ByUser, channels_last, to_bytes
from resnet_lab.data.sources.base import Images, Options, PictureSource, read
from resnet_lab.data.sources.downloads import construct, damaged, fetch, files_of, splits_of

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
    train: Options | None = (("train", True),)
    test: Options = (("train", False),)
    val: Options | None = None
    channels: int | None = field(default=3, kw_only=True)
    mirrors: tuple[str, ...] = ()
    download: bool = True
    options: Options = ()

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

    def prepare(self) -> None:
        """Unpack or download what is missing; raise a ValueError if it cannot be fetched."""
        for split in self.splits:
            self._fetch(split)

    def found(self) -> list[str]:
        """Return the splits that differ from each other."""
        val = [] if self.val is None else ["val"]
        return ["train", *val] if self.train == self.test else ["train", *val, "test"]

    def read_found(self, split: str) -> Images:
        """Read a split, and fetch it first where it is missing."""
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
        return images

    def data_files(self) -> list[Path]:
        """Return the files that torchvision names for this set; none if it names none."""
        cls = self._class()
        listed = (files_of(cls, dict(getattr(self, split))) for split in self.splits)
        return [Path(self.root) / file.path for files in listed for file in files]

    def looks(self) -> list[decode.Look]:
        dataset = self._open("train")
        return decode.looks(len(dataset), lambda index: dataset[index][0])

    def _class(self) -> Any:
        from torchvision import datasets

        if self.dataset not in datasets.__all__:
            close = difflib.get_close_matches(self.dataset, datasets.__all__)
            way = f"is it {' or '.join(close)}?" if close else "see torchvision.datasets"
            raise ValueError(f"torchvision has no data set {self.dataset!r}: {way}")
        return getattr(datasets, self.dataset)

    def _fetch(self, split: str) -> tuple[Any, dict[str, Any]]:
        """Fetch a split where it is missing; return the class and the arguments that read it."""
        cls, arguments = self._class(), dict(getattr(self, split))
        fetch(cls, arguments, Path(self.root), self.mirrors, download=self.download)
        return cls, arguments

    def _open(self, split: str) -> Any:
        """Return torchvision's data set of a split."""
        (cls, arguments), root = self._fetch(split), Path(self.root)
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
        arrays = np.asarray(data)
        if self.dataset == "EMNIST":
            arrays = arrays.swapaxes(1, 2)
        pixels = torch.from_numpy(to_bytes(channels_last(arrays), self.range))
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

        name = f"number {{}} of {self.dataset}".format
        return Images(decode.decode_pictures(len(dataset), picture, self.form, name), labels)
