"""The task of the template: one class for each image. Others are `multilabel` and `regression`."""

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.training.image_task import ImageTask
from resnet_lab.training.metrics import ClassificationSums


class ImageClassifier(ImageTask):
    """Train a network on images of one class each, with cross-entropy."""

    def new_sums(self) -> ClassificationSums:
        return ClassificationSums(self.num_classes)

    def default_loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    def decide(self, logits: Tensor) -> Tensor:
        """Return the class of the largest logit, int64 [B]."""
        return logits.argmax(1)

    def for_metrics(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities [B, num_classes] and classes, int64 [B]."""
        return logits.softmax(1), labels

    def example(self) -> tuple[Tensor, Tensor]:
        labels = torch.arange(2 * self.num_classes, device="cpu") % self.num_classes
        chances = torch.full((len(labels), self.num_classes), 1 / self.num_classes, device="cpu")
        return chances, labels

    def check_labels(self, labels: Tensor) -> None:
        if labels.ndim > 1:
            raise ValueError(
                "task=classification needs one class for each image, and the data has "
                f"{labels.shape[1]} labels or numbers: use task=multilabel or task=regression"
            )

    def step_values(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"train/acc_step": (logits.argmax(1) == labels).float().mean()}
