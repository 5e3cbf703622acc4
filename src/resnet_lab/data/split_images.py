"""The splits of a labelled set of images: read, checked against the configuration, set aside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from resnet_lab.core.configuration.building import errors_of
from resnet_lab.core.seeds import derive_seed
from resnet_lab.data.decoding.pictures import on_disk
from resnet_lab.data.normalise import mean_and_std
from resnet_lab.data.pixels import Fit, check_fit, keeps_proportions, sides
from resnet_lab.data.sources.base import Images, Source, read
from resnet_lab.data.splits import fold_split, stratified_split
from resnet_lab.data.transforms.base import Augmentation, chosen, try_out
from resnet_lab.data.transforms.each import Each, is_each, transform_each


@dataclass(eq=False, repr=False, kw_only=True)
class SplitImages(LightningDataModule):
    """The part of `ImageDataModule` that knows which images a split has.

    Args:
        source: where images and labels come from.
        name: of the data set, for runs and reports.
        num_classes: number of classes; checked against the source.
        channels: 1 or 3; checked against the images.
        image_size: of the network's input: both sides, or [height, width]; other images are
            resized, antialiased.
        fit: `crop`, `pad` or `stretch` images of other proportions, see
            `resnet_lab.data.pixels.resize`; None refuses them.
        mean: per channel, of the training set, in [0, 1]; None: measured on the training part.
        std: likewise.
        augment: augmentations of training batches by name, applied in this order, see
            `resnet_lab.data.transforms.base`; None leaves one out. Those of a single image, such
            as torchvision's, come first, see `resnet_lab.data.transforms.each`.
        transform: transforms of a single image, by name, for the images of validation and test.
        target_transform: applied to each label.
        val_size: images set aside for validation, as a count or a fraction below 1; 0 for none.
        folds: cross-validation: the training images are split into so many parts, and `val_size`
            does not count.
        fold: which of them is for validation, from 0.
        split_seed: of that split; independent of `seed`.
        batch_size: images in a batch, over all devices together.
    """

    source: Source = field(kw_only=False)
    name: str
    num_classes: int
    channels: int
    image_size: Any  # once built (height, width)
    fit: Fit | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    augment: Mapping[str, Augmentation | Each | None] | None = None
    transform: Mapping[str, Each | None] | None = None
    target_transform: Callable[[Any], Any] | None = None
    folds: int | None = None
    fold: int | None = None
    val_size: int | float = 0.1
    split_seed: int = 0
    batch_size: int = 128

    def __post_init__(self) -> None:
        super().__init__()
        if self.batch_size < 1:
            raise ValueError(f"data.batch_size={self.batch_size}: must be an integer >= 1")
        for fact, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(
                    f"data.{fact} has {len(values)} values for data.channels={self.channels}: "
                    "give one value per channel"
                )
        if (self.folds is None) != (self.fold is None):
            raise ValueError("data.folds and data.fold need each other: data.folds=5 data.fold=0")
        check_fit(self.fit)
        self.image_size = sides(self.image_size)
        changes = chosen("data.augment", self.augment or {})
        self.each = {name: change for name, change in changes.items() if is_each(change)}
        self.batched = {name: change for name, change in changes.items() if not is_each(change)}
        self.transforms = chosen("data.transform", self.transform or {})
        self._sets: dict[str, tuple[Images, Tensor]] = {}  # split -> images, indices of its own

    def setup(self, stage: str) -> None:
        """Read and split the training images, or read the test images for the stage `test`.

        Raises:
            ValueError: the images contradict the configuration, or `batch_size` is too large.
        """
        if stage in ("fit", "validate") and "train" not in self._sets:
            images = self._read("train")
            if "val" in self.source.splits:
                if self.folds is not None:
                    raise ValueError(f"data.folds: {self.name} has a validation split of its own")
                train = torch.arange(len(images.labels))
                self._sets["val"] = self._transformed(self._read("val"))
            else:
                train, rest = self._split(images.labels)
                self._sets["val"] = self._transformed(images, rest)
            self._sets["train"] = images, train
            if self.batch_size > len(train):
                raise ValueError(
                    f"data.batch_size={self.batch_size} is larger than the training split of "
                    f"{self.name}: use at most {len(train)}"
                )
            try_out("data.augment", {**self.each, **self.batched}, images.pixels.shape[1:])
            if self.mean is None or self.std is None:
                self.mean, self.std = mean_and_std(images.pixels, train)
        if stage == "test" and "test" not in self._sets:
            self._sets["test"] = self._transformed(self._read("test"))

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

    def _transformed(self, images: Images, indices: Tensor | None = None) -> tuple[Images, Tensor]:
        """Apply `transform` once to the images of a split, by default all of them."""
        if indices is None:
            indices = torch.arange(len(images.labels))
        try_out("data.transform", self.transforms, images.pixels.shape[1:])
        if not self.transforms or on_disk(images.pixels):  # the workers transform those on disk
            return images, indices
        seeds = [derive_seed(0, index) for index in indices.tolist()]
        changed = transform_each([*self.transforms.values()], images.pixels[indices], seeds)
        return Images(changed, images.labels[indices]), torch.arange(len(indices))

    def _read(self, split: str) -> Images:
        """Read a split; raise a ValueError for images that contradict the configuration."""
        images = read(self.source, split)
        if self.target_transform is not None:
            changed = [self.target_transform(label) for label in images.labels.tolist()]
            images = images._replace(labels=torch.tensor(changed))
        labels, (height, width, channels) = images.labels, images.pixels.shape[1:]
        if self.fit is None and not keeps_proportions(height, width, self.image_size):
            raise ValueError(
                f"the images of {self.name} are {height} high and {width} wide, which "
                f"data.image_size={[*self.image_size]} would squash: set "
                f"data.image_size=[{height},{width}], or ++data.fit= to crop, pad or stretch"
            )
        count = labels.shape[1] if labels.ndim > 1 else int(labels.max()) + 1
        count = max(len(self._classes), count)
        for what, stated, found in (
            ("channels", self.channels, channels), ("num_classes", self.num_classes, count)
        ):  # fmt: skip
            if stated != found:
                raise ValueError(
                    f"data.{what}={stated}, but {self.name} has {found} "
                    f"{what.removeprefix('num_')}: set data.{what}={found}"
                )
        return images

    @property
    def _classes(self) -> tuple[str, ...]:
        """Names of the classes; after `target_transform`, there may be another number of them."""
        names = self.source.classes
        if self.target_transform is None or len(names) == self.num_classes:
            return names
        return tuple(map(str, range(self.num_classes)))
