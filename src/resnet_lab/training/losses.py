"""Losses of (logits, labels), each a mean over the batch; any other nn.Module of these will do.

| loss | labels |
| --- | --- |
| CrossEntropy, Focal | one class for each image, int64 [B] |
| BinaryCrossEntropy | one class for each image, or several, float32 [B, L] |
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Weight = Sequence[float] | Literal["balanced"] | None


class ClassWeights(nn.Module):
    """Base of the losses that weigh classes.

    Args:
        num_classes: number of classes.
        weight: of each class, or `balanced`: inversely proportional to its number of training
            images, so that all classes have the same share of the loss; None: all are 1.
    """

    weight: Tensor | None

    def __init__(self, num_classes: int, weight: Weight = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.balanced = isinstance(weight, str)
        if weight is None:
            self.register_buffer("weight", None)
            return
        values = [1.0] * num_classes if isinstance(weight, str) else [*map(float, weight)]
        if len(values) != num_classes or min(values) < 0:
            raise ValueError(
                f"loss.weight={list(weight)}: must be balanced, or {num_classes} numbers >= 0, one "
                "for each class"
            )
        self.register_buffer("weight", torch.tensor(values))

    def balance(self, labels: Tensor) -> None:
        """Set the weights by the classes of the training images, int64 [N], if asked to."""
        if self.balanced:
            assert self.weight is not None
            counts = torch.bincount(labels.cpu(), minlength=self.num_classes)
            self.weight = (len(labels) / (self.num_classes * counts.clamp_min(1))).to(self.weight)


class CrossEntropy(ClassWeights):
    """Cross-entropy, with weights of the classes and label smoothing.

    Args:
        label_smoothing: share of the target that is spread over all classes; in training only.
    """

    def __init__(
        self, num_classes: int, weight: Weight = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(num_classes, weight)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"loss.label_smoothing={label_smoothing}: must be >= 0 and < 1")
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(logits, labels, self.weight, label_smoothing=smoothing)


class Focal(ClassWeights):
    """Focal loss (Lin et al. 2017): cross-entropy, where images that are easy count less.

    Args:
        gamma: how much less: an image whose class has the probability p counts (1 - p) ** gamma;
            0 is cross-entropy.
    """

    def __init__(self, num_classes: int, weight: Weight = None, gamma: float = 2.0) -> None:
        super().__init__(num_classes, weight)
        if gamma < 0:
            raise ValueError(f"loss.gamma={gamma}: must be a number >= 0")
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
        # expm1 keeps 1 - p exact, and its gradient finite, where p is close to 1.
        hard = (-torch.expm1(log_p)).clamp_min(1e-12) ** self.gamma
        weight = torch.ones_like(log_p) if self.weight is None else self.weight[labels]
        return -(weight * hard * log_p).sum() / weight.sum()


class BinaryCrossEntropy(nn.Module):
    """Cross-entropy of each class against all others, by the sigmoid of its logit.

    Classes are added up, as in Wightman et al. 2021, and images averaged; several labels for each
    image are averaged over the labels too.

    Args:
        num_classes: number of classes or labels.
        pos_weight: of the images that have a label, one for each label; `balanced`: the number of
            training images without it over that with it; None: all are 1.
    """

    pos_weight: Tensor | None

    def __init__(self, num_classes: int, pos_weight: Weight = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        weights = ClassWeights(num_classes, pos_weight)
        self.balanced = weights.balanced
        self.register_buffer("pos_weight", weights.weight)

    def balance(self, labels: Tensor) -> None:
        """Set the weights by the labels of the training images, if asked to."""
        if self.balanced:
            assert self.pos_weight is not None
            count = self._hot(labels.cpu()).sum(0).clamp_min(1)
            self.pos_weight = ((len(labels) - count) / count).to(self.pos_weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of logits and labels, int64 [B] or float32 [B, num_classes]."""
        loss = F.binary_cross_entropy_with_logits(
            logits, self._hot(labels).to(logits.dtype), pos_weight=self.pos_weight
        )
        return loss * self.num_classes if labels.ndim == 1 else loss

    def _hot(self, labels: Tensor) -> Tensor:
        """Return labels as float32 [N, num_classes]."""
        return F.one_hot(labels, self.num_classes).float() if labels.ndim == 1 else labels


def check_loss(loss: Any, labels: Tensor, outputs: int) -> None:
    """Balance a loss by the labels of the training set, and try it on a few of them.

    Raises a ValueError if the loss does not take them, or does not give one number.
    """
    name = type(loss).__name__
    try:
        if hasattr(loss, "balance"):
            loss.balance(labels)
        device = next((t.device for t in (*loss.parameters(), *loss.buffers())), labels.device)
        few = labels[:2].to(device)
        with torch.no_grad():
            value = loss(torch.zeros(len(few), outputs, device=device), few)
    except Exception as error:  # of a loss that anybody may have written
        text = " ".join(str(error).split())
        raise ValueError(
            f"loss: {name} does not take logits [B, {outputs}] and labels of {labels.dtype}, "
            f"{[*labels.shape]}: {text}"
        ) from error
    if not isinstance(value, Tensor) or value.ndim:
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss: {name} gives {shape} where one number is needed: the batch's mean")
