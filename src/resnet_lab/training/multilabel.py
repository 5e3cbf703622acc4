"""Multi-label classification: several labels for each image, each of them there or not."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.training.image_task import ImageTask
from resnet_lab.training.metrics import Sums, proportion


class MultiLabelSums(Sums):
    """Sum the loss, the images whose labels are all right, and the hits of each label.

    `acc` is the share of images whose labels are all right, as scikit-learn counts it; `f1` is the
    mean over the labels of their F1.

    Args:
        labels: number of labels.
    """

    names = ("loss", "acc", "f1")
    loss: Tensor
    images: Tensor
    right: Tensor
    counts: Tensor  # of each label: found, predicted, there, and right either way

    def __init__(self, labels: int) -> None:
        images, right = torch.zeros(2, dtype=torch.int64).unbind()
        counts = torch.zeros(4, labels, dtype=torch.int64)
        super().__init__(loss=torch.zeros(()), images=images, right=right, counts=counts)

    def update(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        if not len(labels):
            return
        predicted, there = logits > 0, labels > 0.5
        alike = predicted == there
        self.loss.add_(loss, alpha=len(labels))
        self.images += len(labels)
        self.right += alike.all(1).sum()
        self.counts += torch.stack([predicted & there, predicted, there, alike]).sum(1)

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics over all devices.

        Returns:
            `loss`, `acc` and `f1`; and, int64, `total` of [images, images all right] and `counts`
            [4, L] of each label: found, predicted, there, and right either way.
        """
        found, predicted, there, _ = self.counts
        f1 = 2 * found / (predicted + there).clamp_min(1)
        return {
            "loss": self.loss / self.images,
            "acc": self.right / self.images,
            "f1": f1.mean(),
            "total": torch.stack([self.images, self.right]),
            "counts": self.counts.clone(),
        }

    def result(self) -> dict[str, float | int]:
        """Return the numbers, `acc` with its 95 % interval, and `images`."""
        values = self.compute()
        images, right = values["total"].tolist()
        scalars: dict[str, float | int] = {name: float(values[name]) for name in self.names}
        return scalars | proportion(right, images)

    def of_classes(self, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
        """Return how often each label is right, with its interval, and precision, recall, F1."""
        values = self.compute()
        images = int(values["total"][0])
        return {
            name: {
                **proportion(right, images),
                "precision": found / max(predicted, 1),
                "recall": found / max(there, 1),
                "f1": 2 * found / max(predicted + there, 1),
            }
            for name, (found, predicted, there, right) in zip(
                classes, values["counts"].T.tolist(), strict=True
            )
        }


class MultiLabelClassifier(ImageTask):
    """Train a network on images of several labels each, with binary cross-entropy."""

    def new_sums(self) -> MultiLabelSums:
        return MultiLabelSums(self.num_classes)

    def default_loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the binary cross-entropy, averaged over the labels too."""
        labels = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, labels)

    def decide(self, logits: Tensor) -> Tensor:
        """Return the labels whose probability is above one half, float32 [B, L]."""
        return (logits > 0).float()

    def for_metrics(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and labels, float32 and int64 [B, L]."""
        return logits.sigmoid(), labels.long()

    def example(self) -> tuple[Tensor, Tensor]:
        labels = torch.tensor([[0], [1]], device="cpu").expand(2, self.num_classes)
        return labels.float() * 0.5 + 0.25, labels

    def check_labels(self, labels: Tensor) -> None:
        if labels.ndim == 1 or not ((labels == 0) | (labels == 1)).all():
            found = "one class for each image" if labels.ndim == 1 else "numbers"
            other = "classification" if labels.ndim == 1 else "regression"
            raise ValueError(
                f"task=multilabel needs labels of 0 and 1, [N, L], and the data has {found}: use "
                f"task={other}"
            )
