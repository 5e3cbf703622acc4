"""What a task measures: its own sums, further metrics, the loss; and what its labels are."""

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric

from resnet_lab.training.further_metrics import FurtherMetrics
from resnet_lab.training.metrics import Sums, log_epoch


class MeasuredTask(LightningModule):
    """Base of `ImageTask`, with the methods by which a task says what its labels are.

    Those that raise NotImplementedError have to be given.

    Args:
        num_classes: number of classes, labels or numbers.
        loss: of (logits, labels); None: the task's own.
    """

    def __init__(self, num_classes: int, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loss = loss
        self.classes: Sequence[str] = [str(number) for number in range(num_classes)]
        self.train_sums = self.new_sums()
        self.val_sums = self.new_sums()
        self.test_sums = self.new_sums()
        self.further = FurtherMetrics()

    def new_sums(self) -> Sums:
        """Return the task's own metrics; see `Sums`."""
        raise NotImplementedError

    def default_loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, where no `loss` was chosen."""
        raise NotImplementedError

    def decide(self, logits: Tensor) -> Tensor:
        """Return what is predicted, of the shape of the labels."""
        raise NotImplementedError

    def for_metrics(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and targets as torchmetrics takes them."""
        raise NotImplementedError

    def example(self) -> tuple[Tensor, Tensor]:
        """Return an example of what `for_metrics` returns, to try metrics with."""
        raise NotImplementedError

    def check_labels(self, labels: Tensor) -> None:
        """Raise a ValueError unless the labels of the training set are of this task."""

    def step_values(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return what is logged of a training step, besides its loss."""
        return {}

    def add_metrics(
        self, metrics: Mapping[str, Metric], splits: Mapping[str, Sequence[str]]
    ) -> None:
        """Measure further metrics; see `FurtherMetrics`."""
        self.further = FurtherMetrics(metrics, splits, self.example(), self.num_classes)

    def metric_names(self, split: str) -> list[str]:
        """Return the names of the metrics of a split: "train", "val" or "test"."""
        sums = self.train_sums if split == "train" else self.val_sums
        names = [*sums.names, *self.further.names(split, self.classes)]
        return [f"{split}/{name}" for name in names]

    def _loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        if self.loss is None:
            return self.default_loss(logits, labels, smoothing)
        loss: Tensor = self.loss(logits, labels)
        return loss

    def _begin(self, split: str) -> None:
        """Reset the metrics of a split at its start: they stay readable after the epoch."""
        getattr(self, f"{split}_sums").reset()
        self.further.reset(split)

    def _add(self, split: str, logits: Tensor, labels: Tensor, loss: Tensor | None = None) -> None:
        """Add a batch to the metrics of a split; of validation and test, its loss is known here."""
        if loss is None:
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            loss = self._loss(logits, labels)
        getattr(self, f"{split}_sums").update(logits, labels, loss)
        self.further.add(split, lambda: self.for_metrics(logits, labels))

    def _end(self, split: str) -> None:
        """Log the metrics of a split."""
        sums = getattr(self, f"{split}_sums").compute()
        own = {name: value for name, value in sums.items() if not value.ndim}
        log_epoch(self, split, {**own, **self.further.compute(split, self.classes)})

    def on_validation_epoch_start(self) -> None:
        self._begin("val")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Add a batch to the validation metrics; return its logits, for callbacks."""
        logits: Tensor = self(batch[0])
        self._add("val", logits, batch[1])
        return logits

    def on_validation_epoch_end(self) -> None:
        self._end("val")

    def on_test_epoch_start(self) -> None:
        self._begin("test")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._add("test", self(batch[0]), batch[1])

    def on_test_epoch_end(self) -> None:
        self._end("test")
