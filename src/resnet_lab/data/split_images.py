"""The splits of a labelled set of images: read, held to its facts, and set aside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from resnet_lab.core.building import errors_of
from resnet_lab.core.seeds import derive_seed
from resnet_lab.data.facts import check_images
from resnet_lab.data.normalise import mean_and_std
from resnet_lab.data.pixels import Fit
from resnet_lab.data.sources.base import Images, Source, read
from resnet_lab.data.sources.pictures import on_disk
from resnet_lab.data.splits import fold_split, stratified_split
from resnet_lab.data.transforms.base import try_out
from resnet_lab.data.transforms.each import Each, transform_each, try_each


class SplitImages:
    """The part of `ImageDataModule` that knows which images a split has; see its arguments."""

    source: Source
    name: str | None
    num_classes: int
    channels: int
    image_size: tuple[int, int]
    fit: Fit | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    augment: Mapping[str, Any]
    each: Mapping[str, Each]
    transform: Mapping[str, Each]
    target_transform: Callable[[Any], Any] | None
    folds: int | None
    fold: int | None
    val_size: int | float
    split_seed: int
    batch_size: int
    _sets: dict[str, tuple[Images, Tensor]]  # split -> images, indices of its own

    def setup(self, stage: str) -> None:
        """Read and split the training images, or read the test images for the stage `test`.

        Raises:
            ValueError: the images contradict the facts, or `batch_size` exceeds the training part.
        """
        if stage in ("fit", "validate") and "train" not in self._sets:
            images = self._read("train")
            if "val" in self.source.splits:
                if self.folds is not None:
                    raise ValueError(f"data.folds: {self.name} has a validation split of its own")
                train, val = torch.arange(len(images.labels)), self._read("val")
                self._sets["val"] = self._transformed(val, torch.arange(len(val.labels)))
            else:
                train, rest = self._split(images.labels)
                self._sets["val"] = self._transformed(images, rest)
            self._sets["train"] = images, train
            if self.batch_size > len(train):
                raise ValueError(
                    f"data.batch_size={self.batch_size} is larger than the training split of "
                    f"{self.name}: use at most {len(train)}"
                )
            try_out(self.augment, try_each("data.augment", self.each, images.pixels.shape[1:]))
            if self.mean is None or self.std is None:
                self.mean, self.std = mean_and_std(images.pixels, train)
        if stage == "test" and "test" not in self._sets:
            test = self._read("test")
            self._sets["test"] = self._transformed(test, torch.arange(len(test.labels)))

    def images(self, split: str) -> tuple[Images, Tensor]:
        """Return the images that hold a split, and its indices; call `setup` first."""
        return self._sets[split]

    def size(self, split: str) -> int:
        """Return the number of images in a split."""
        return len(self.images(split)[1])

    def _split(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices of the training and of the validation part."""
        if self.folds is not None and self.fold is not None:
            return fold_split(labels, self.folds, self.fold, self.split_seed)
        with errors_of("data.val_size"):
            return stratified_split(labels, self.val_size, self.split_seed)

    def _transformed(self, images: Images, indices: Tensor) -> tuple[Images, Tensor]:
        """Apply `transform` to the images of a split, once."""
        if not self.transform:
            return images, indices
        try_each("data.transform", self.transform, images.pixels.shape[1:])
        if on_disk(images.pixels):  # its workers do so
            return images, indices
        seeds = [derive_seed(0, index) for index in indices.tolist()]
        changed = transform_each([*self.transform.values()], images.pixels[indices], seeds)
        return Images(changed, images.labels[indices]), torch.arange(len(indices))

    def _read(self, split: str) -> Images:
        images = read(self.source, split)
        if self.target_transform is not None:
            labels = [self.target_transform(label) for label in images.labels.tolist()]
            images = images._replace(labels=torch.tensor(labels))
        check_images(
            images, self._classes, name=str(self.name), num_classes=self.num_classes,
            channels=self.channels, image_size=self.image_size, fit=self.fit,
        )  # fmt: skip
        return images

    @property
    def _classes(self) -> tuple[str, ...]:
        """Names of the classes; after `target_transform`, there may be another number of them."""
        names = self.source.classes
        if self.target_transform is None or len(names) == self.num_classes:
            return names
        return tuple(map(str, range(self.num_classes)))
