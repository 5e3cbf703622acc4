"""Metrics of a classifier: sums, the confidence interval of its accuracy, and how they are logged.

They are logged at once. Lightning writes what `self.log` is given later: a value of a step gets the
number of a later step, and a GPU is waited for at each step; a value of an epoch is written after
the checkpoint, so that a kill between the two loses it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

TOP5_FROM = 20  # classes; with fewer, top-5 accuracy says little


class Sums(Metric):
    """Base of the metrics that a task keeps itself: sums over images, added up over devices.

    Args:
        **zeros: what each sum begins with, by its name.
    """

    full_state_update = False
    names: tuple[str, ...] = ("loss",)  # of the numbers that `compute` returns

    def __init__(self, **zeros: Tensor) -> None:
        super().__init__()
        for name, zero in zeros.items():
            self.add_state(name, zero, dist_reduce_fx="sum")

    def _apply(self, fn: Any, exclude_state: Sequence[str] = "") -> nn.Module:
        """Move the sums, in float32: half precision cannot add up the losses of an epoch."""
        moved: nn.Module = super()._apply(lambda t: fn(t).to(t.dtype), exclude_state)
        return moved

    def result(self) -> dict[str, float | int]:
        """Return the numbers, with 95 % intervals where there are any, and `images`."""
        raise NotImplementedError

    def of_classes(self, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
        """Return the result of each class or label by name; of numbers there is none."""
        return {}


class ClassificationSums(Sums):
    """Sum loss and hits over images, on the device until they are read.

    One metric with a handful of sums, rather than a collection of metrics with their own checks,
    keeps an update to a few small kernels and never waits for the device. torchmetrics adds the
    sums of several devices.

    Args:
        num_classes: number of classes; top-5 accuracy is kept from 20 classes on.
    """

    loss: Tensor
    seen: Tensor  # images of each class
    correct: Tensor  # of those, found
    correct_top5: Tensor

    def __init__(self, num_classes: int) -> None:
        seen, correct = torch.zeros(2, num_classes, dtype=torch.int64).unbind()
        top5 = torch.zeros((), dtype=torch.int64)
        super().__init__(loss=torch.zeros(()), seen=seen, correct=correct, correct_top5=top5)
        self.top5 = num_classes >= TOP5_FROM
        self.names = ("loss", "acc", *["acc_top5"] * self.top5)

    def update(self, logits: Tensor, labels: Tensor, loss: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            logits: [B, num_classes], of any float type.
            labels: int64 [B]; B may be 0.
            loss: mean cross-entropy of the batch, where it is known already.
        """
        if not len(labels):  # another process has the last images; their mean loss would be NaN
            return
        logits = logits.float()
        if loss is None:
            loss = F.cross_entropy(logits, labels)
        self.loss.add_(loss, alpha=len(labels))
        self.seen.index_add_(0, labels, torch.ones_like(labels))
        self.correct.index_add_(0, labels, (logits.argmax(1) == labels).long())
        if self.top5:
            self.correct_top5 += (logits.topk(5, 1).indices == labels[:, None]).sum()

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics over all devices.

        Returns:
            Mean cross-entropy `loss` (nats), `acc` and, where kept, `acc_top5` in [0, 1]; and,
            int64 [num_classes], images `seen` of each class and those of them `correct`.
        """
        count = self.seen.sum()
        values = {"loss": self.loss / count, "acc": self.correct.sum() / count}
        if self.top5:
            values["acc_top5"] = self.correct_top5 / count
        return {**values, "seen": self.seen.clone(), "correct": self.correct.clone()}

    def result(self) -> dict[str, float | int]:
        """Return `loss`, `acc` with its 95 % interval, `acc_top5` where kept, and `images`."""
        values = self.compute()
        scalars = {name: float(value) for name, value in values.items() if value.ndim == 0}
        return {**scalars, **proportion(int(values["correct"].sum()), int(values["seen"].sum()))}

    def of_classes(self, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
        """Return the accuracy of each class, with its 95 % interval, by name."""
        counts = zip(classes, self.compute()["correct"], self.compute()["seen"], strict=True)
        return {name: proportion(int(correct), int(seen)) for name, correct, seen in counts}


def proportion(correct: int, images: int) -> dict[str, float | int]:
    """Return an accuracy with its 95 % interval (Wilson 1927), and the number of images.

    The interval covers the sampling of the images, not the spread from one seed to the next.
    """
    if images == 0:
        return {"acc": math.nan, "acc_low": 0.0, "acc_high": 1.0, "images": 0}
    z2 = 1.959964**2
    share = correct / images
    middle = share + z2 / (2 * images)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * images)) / images)
    scale = 1 + z2 / images
    return {
        "acc": share,
        "acc_low": max(0.0, (middle - half) / scale),
        "acc_high": min(1.0, (middle + half) / scale),
        "images": images,
    }


def is_logged(task: LightningModule, batch_idx: int) -> bool:
    """Whether a batch is the last one of a step that is logged."""
    trainer = task.trainer
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if not every or (task.global_step + 1) % every:
        return False
    return not (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch


def write_now(task: LightningModule, values: Mapping[str, Tensor], step: int) -> None:
    """Write values of one element each, by metric, to the loggers."""
    if task.trainer.is_global_zero and not task.trainer.sanity_checking:
        numbers = {name: float(value) for name, value in values.items()}
        for logger in task.loggers:
            logger.log_metrics({**numbers, "epoch": task.current_epoch}, step)


def log_epoch(task: LightningModule, split: str, measured: Mapping[str, Tensor]) -> None:
    """Log the metrics of an epoch, over all devices; raise a ValueError for an infinite loss."""
    values = {f"{split}/{name}": value for name, value in measured.items()}
    loss = float(values[f"{split}/loss"])
    if not math.isfinite(loss):
        raise ValueError(
            f"{split}/loss is {loss} in epoch {task.current_epoch + 1}: the training diverged; "
            "lower optimizer.lr, lengthen scheduler.warmup, or set trainer.gradient_clip_val"
        )
    for name, value in values.items():
        # They are added up over the devices; sync_dist tells Lightning that they agree.
        task.log(name, value, prog_bar=name == "val/acc", sync_dist=True, logger=False)
    # Steps count from 0: the row of the last step has the weights that it left.
    write_now(task, values, task.global_step - (split != "test"))
