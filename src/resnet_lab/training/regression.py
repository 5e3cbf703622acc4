"""Regression: a number for each image, or a few."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.training.image_task import ImageTask
from resnet_lab.training.metrics import Sums


class RegressionSums(Sums):
    """Sum the loss, the errors and the targets.

    `mae` is the mean absolute error, `rmse` the root of the mean squared one, `r2` the share of the
    targets' variance that is explained. Several numbers of an image are averaged first.

    Args:
        numbers: of each image.
    """

    names = ("loss", "mae", "rmse", "r2")
    images: Tensor
    sums: Tensor  # of the images: loss, absolute error and its square, squared error
    targets: Tensor  # their sums, and those of their squares

    def __init__(self, numbers: int) -> None:
        count = torch.zeros((), dtype=torch.int64)
        super().__init__(images=count, sums=torch.zeros(4), targets=torch.zeros(2, numbers))

    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        count = len(targets)
        if not count:
            return
        error = (outputs - targets).float()
        absolute = error.abs().mean(1)
        self.images += count
        self.sums += torch.stack(
            [loss * count, absolute.sum(), absolute.square().sum(), error.square().mean(1).sum()]
        )
        self.targets += torch.stack([targets.sum(0), targets.square().sum(0)])

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics over all devices.

        Returns:
            `loss`, `mae`, `rmse` and `r2` (the mean over the numbers); and `about` of [images, mean
            square of the absolute error].
        """
        loss, mae, square, mse = self.sums / self.images
        mean, squared = self.targets / self.images
        variance = (squared - mean.square()).mean()
        about = torch.stack([self.images.float(), square])
        return {
            "loss": loss,
            "mae": mae,
            "rmse": mse.sqrt(),
            "r2": 1 - mse / variance,
            "about": about,
        }

    def result(self) -> dict[str, float | int]:
        """Return the numbers, `mae` with its 95 % interval, and `images`.

        The interval is that of a mean of many images, by the normal distribution; it covers the
        sampling of the images, not the spread from one seed to the next.
        """
        values = self.compute()
        found: dict[str, float | int] = {name: float(values[name]) for name in self.names}
        images, square = values["about"].tolist()
        spread = max(0.0, square - found["mae"] ** 2) * images / max(images - 1, 1)
        half = 1.959964 * math.sqrt(spread / images)
        ends = {"mae_low": max(0.0, found["mae"] - half), "mae_high": found["mae"] + half}
        return {**found, **ends, "images": int(images)}


class ImageRegressor(ImageTask):
    """Train a network to give a number for each image, with the mean squared error."""

    def new_sums(self) -> RegressionSums:
        return RegressionSums(self.num_classes)

    def default_loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.mse_loss(logits, labels)

    def decide(self, logits: Tensor) -> Tensor:
        return logits.float()

    def for_metrics(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and targets, float32 [B] of one number, else [B, L]."""
        single = self.num_classes == 1
        return (logits[:, 0], labels[:, 0]) if single else (logits, labels)

    def example(self) -> tuple[Tensor, Tensor]:
        targets = torch.arange(4.0, device="cpu")[:, None].expand(4, self.num_classes)
        return self.for_metrics(targets * 0.5, targets)

    def check_labels(self, labels: Tensor) -> None:
        if self.label_smoothing:
            raise ValueError(f"task.label_smoothing={self.label_smoothing}: a number has none; 0")
        if labels.ndim == 1:
            raise ValueError(
                "task=regression needs float32 labels, [N] or [N, L], and the data has one class "
                "for each image: use task=classification"
            )
