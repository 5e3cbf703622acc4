"""The predictions of two runs on the same images."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_lab.core.text import printable
from resnet_lab.reporting.statistics import mcnemar, paired_difference
from resnet_lab.runs.trained.inference import TrainedNetwork, load_split
from resnet_lab.runs.trained.run import Run


class Predictions(NamedTuple):
    """What a run predicts for each image of a split."""

    checkpoint: str
    classes: list[str]
    pixels: Tensor  # uint8 [N, H, W, C], as they are stored
    labels: Tensor  # int64 [N], or float32 [N, L], see `Images`
    predicted: Tensor  # likewise
    numbers: bool = False  # whether they are numbers, which are more or less right

    @property
    def right(self) -> Tensor:
        """Whether each prediction is correct, of several labels all, bool [N]."""
        alike = self.predicted == self.labels
        return alike if alike.ndim == 1 else alike.all(1)

    @property
    def errors(self) -> Tensor:
        """The absolute error of each image, float32 [N]; of numbers."""
        return (self.predicted - self.labels).abs().mean(1)


class Paired(NamedTuple):
    """The predictions of two runs on the same images."""

    first: Predictions
    second: Predictions

    @property
    def newly_right(self) -> NDArray[np.int64]:
        """Indices of the images that only the second run has right."""
        return np.flatnonzero((~self.first.right & self.second.right).numpy())

    @property
    def newly_wrong(self) -> NDArray[np.int64]:
        """Indices of the images that only the first run has right."""
        return np.flatnonzero((self.first.right & ~self.second.right).numpy())

    def result(self) -> dict[str, Any]:
        """Compute both accuracies or, of numbers, mean absolute errors, and how they differ.

        Their difference has a 95 % interval and a test: of accuracies those of Agresti and Min
        (2005) for paired data and McNemar's, of errors see `paired_difference`.
        """
        images = len(self.first.labels)
        if self.first.numbers:
            errors = [side.errors.tolist() for side in self]
            means = {"mae": [sum(side) / images for side in errors]}
            difference, low, high, p = paired_difference(*errors)
            changed = {}
        else:
            means = {"acc": [int(side.right.sum()) / images for side in self]}
            right, wrong = len(self.newly_right), len(self.newly_wrong)
            difference, middle = (right - wrong) / images, (right - wrong) / (images + 2)
            spread = math.sqrt(right + wrong + 1 - (right - wrong) ** 2 / (images + 2))
            half = 1.959964 * spread / (images + 2)
            low, high, p = max(-1.0, middle - half), min(1.0, middle + half), mcnemar(wrong, right)
            changed = {"newly_right": right, "newly_wrong": wrong}
        ends = {"difference_low": low, "difference_high": high}
        return {"images": images, **means, "difference": difference, **ends, **changed, "p": p}


def predict(
    run: Run, split: str, checkpoint: str | None = None, data_dir: str | None = None
) -> Predictions:
    """Predict a split of a run's data with one of its checkpoints; see `load_split`."""
    from resnet_lab.training.regression import ImageRegressor

    checkpoint, task, facts, data = load_split(run, split, checkpoint, data_dir)
    if not hasattr(task, "decide") or not hasattr(data, "images"):
        lacking = type(data if hasattr(task, "decide") else task).__name__
        raise ValueError(
            f"{run.shown}: {lacking} has not what compare needs: "
            "ImageTask's decide and ImageDataModule's images"
        )
    images, indices = data.images(split)
    network = TrainedNetwork(run, checkpoint, task, facts, data)
    predicted = [task.decide(logits) for logits in network.batches(images.pixels, indices)]
    own = slice(None) if len(indices) == len(images.labels) else indices
    return Predictions(
        checkpoint, network.classes, images.pixels[own], images.labels[own],
        torch.cat(predicted), numbers=isinstance(task, ImageRegressor),
    )  # fmt: skip


def pair(first: Predictions, second: Predictions) -> Paired:
    """Pair the predictions of two runs.

    Raises:
        ValueError: the images or the classes differ.
    """
    if first.classes != second.classes:
        raise ValueError(
            f"the runs have different classes ({_some(first.classes)} and "
            f"{_some(second.classes)}): compare runs on the same data"
        )
    alike = first.labels.equal(second.labels) and first.pixels.equal(second.pixels)
    if not alike:
        raise ValueError(
            f"the runs have different images ({len(first.labels):,} and "
            f"{len(second.labels):,} of them): compare runs on the same data and split"
        )
    return Paired(first, second)


def _some(classes: list[str]) -> str:
    return ", ".join(map(printable, classes[:3])) + (", ..." if len(classes) > 3 else "")
