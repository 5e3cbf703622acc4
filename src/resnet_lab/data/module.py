"""The data module of every set of labelled images, in memory or streamed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from resnet_lab.core.device import free_on
from resnet_lab.core.threads import available_cores
from resnet_lab.data.decoding.pictures import on_disk
from resnet_lab.data.facts import Facts
from resnet_lab.data.loader import Batch, BatchLoader, shuffled
from resnet_lab.data.normalise import normalise
from resnet_lab.data.pixels import resize
from resnet_lab.data.sources.base import Images
from resnet_lab.data.split_images import SplitImages
from resnet_lab.data.streaming import StreamLoader


@dataclass(eq=False, repr=False, kw_only=True)
class ImageDataModule(SplitImages):
    """Serve a labelled set of images.

    The training images of `source` are split once, by `split_seed`, into a training and a
    validation part; a source with a validation split of its own keeps it. The test images are read
    when the test begins. Batches are augmented (training only), resized to `image_size` and
    normalised on the device: float32 [B, C, H, W] in channels_last.

    The other arguments are those of `SplitImages`.

    Args:
        sampler: balanced: draw all classes equally often, with repetition; None: each image once.
        workers: processes that decode pictures, where the source streams; None: one a core.
        seed: of order and augmentation.
    """

    sampler: Literal["balanced"] | None = None
    workers: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"data.workers={self.workers}: must be an integer >= 0")
        self._training: BatchLoader | None = None
        self._position: dict[str, int] | None = None  # of the checkpoint that is resumed

    def prepare_data(self) -> None:
        """Download what is missing; Lightning calls this in one process."""
        self.source.prepare()

    def facts(self) -> Facts:
        """Return what every checkpoint stores, as plain types; a ValueError before `setup`."""
        mean, std = self._statistics()
        return Facts(
            name=self.name,
            classes=list(self._classes),
            channels=self.channels,
            image_size=self.image_size[0] if len({*self.image_size}) == 1 else [*self.image_size],
            mean=[float(value) for value in mean],
            std=[float(value) for value in std],
        )

    def _statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        if self.mean is None or self.std is None:
            raise ValueError(f"mean and std of {self.name} are not known before setup('fit')")
        return self.mean, self.std

    def train_dataloader(self) -> BatchLoader:
        """Return the training batches: full ones, in a new order each epoch.

        With `trainer.overfit_batches` they are the same ones each epoch, drawn by the seed.
        """
        self._training = self._loader("train")
        if self._position is not None:
            self._training.load_state_dict(self._position)
        return self._training

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch, for the checkpoint."""
        return {} if self._training is None else self._training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position in the epoch; Lightning does not once the loader exists."""
        self._position = state_dict or None
        if self._position is not None and self._training is not None:  # FSDP restores last
            self._training.load_state_dict(self._position)

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        """Return the validation batches in order; an empty list if there is no such split."""
        return self._loader("val") if self.size("val") else []

    def test_dataloader(self) -> BatchLoader:
        """Return the test batches in order."""
        return self._loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augment a batch in training, but not of `trainer.overfit_batches`, and normalise it."""
        trains = self.trainer is not None and self.trainer.training
        return self.finish(batch, augment=trains and not self._overfits)

    def finish(self, batch: Batch, *, augment: bool) -> tuple[Tensor, Tensor]:
        """Augment if asked, resize and normalise.

        Returns:
            Images, float32 [B, C, *image_size] in channels_last, and labels, int64 [B].
        """
        pixels, generator = batch.pixels, torch.Generator().manual_seed(batch.seed)
        for change in self.batched.values() if augment else ():
            pixels = change(pixels, generator)
        return self.normalise(pixels), batch.labels

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn uint8 [B, H, W, C] into normalised float32 [B, C, *image_size]."""
        if pixels.shape[1:3] != self.image_size:
            pixels = resize(pixels, self.image_size, self.fit or "stretch")
        return normalise(pixels, *self._statistics())

    @property
    def _overfits(self) -> bool:
        """Whether the trainer overfits a few batches, to debug a network."""
        return self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]

    def _loader(self, split: str) -> BatchLoader:
        """Return the batches of a split; where there is room, its images move to the GPU."""
        (images, indices), trains = self._sets[split], split == "train"
        streams, changing = on_disk(images.pixels), trains and not self._overfits
        if trains and self._overfits:  # a folder is sorted by class
            indices = shuffled(indices, self.seed)
        options: dict[str, Any] = {"seed": self.seed, "drop_last": trains, "shuffle": changing}
        options["balanced"] = trains and self.sampler is not None
        if trains or streams:
            changes = self.each if changing else {} if trains else self.transforms
            options["changes"] = [*changes.values()]
        if self.trainer is not None:
            options |= {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
            if self.batch_size % self.trainer.world_size:
                raise ValueError(
                    f"data.batch_size={self.batch_size} must be a multiple of the "
                    f"{self.trainer.world_size} devices that share it"
                )
            device = self.trainer.strategy.root_device
            free = free_on(device)
            if free is not None and images.pixels.device.type == "cpu":
                full = not streams and images.pixels.nbytes >= free / 4
                options["pin"] = streams or bool(options.get("changes")) or full
                if not options["pin"]:
                    images = self._move(images, device)
        if not streams:
            return BatchLoader(images, indices, self.batch_size, **options)
        workers = available_cores() if self.workers is None else self.workers
        workers = workers if trains else min(workers, 4)
        return StreamLoader(
            images, indices, self.batch_size, workers=workers, crop=changing, **options
        )

    def _move(self, images: Images, device: torch.device) -> Images:
        """Move images to the device, for all the splits that they hold."""
        moved = Images(*(part.to(device) for part in images))
        for split, (held, indices) in self._sets.items():
            if held is images:
                self._sets[split] = moved, indices
        return moved
