"""The one LightningModule around any image classifier."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.data.loader import derive_seed
from resnet_lab.data.module import Facts
from resnet_lab.metrics import TOP5_FROM, ClassificationSums


class ImageClassifier(LightningModule):
    """Train a network on labelled images with cross-entropy.

    Metrics stay on the device as sums. They are logged once an epoch as `train/loss`, `train/acc`,
    `val/...` and `test/...`, and every `log_every_n_steps` as `train/loss_step`, `train/acc_step`:
    logging and a metric update at every step would double the step time of a small network.

    Args:
        net: any network from float32 [B, C, H, W] to logits [B, num_classes].
        num_classes: number of classes.
        optimizer: called with parameter groups, returns an optimizer.
        scheduler: called with the optimizer, returns a learning-rate scheduler; None: a constant
            rate. Its arguments `total_steps`, `T_max` and `total_iters`, where it has them and they
            are not given, are filled with the length of the run.
        interval: what one step of the scheduler is, "step" or "epoch".
        monitor: metric that a plateau scheduler watches.
        label_smoothing: of the training loss (Szegedy et al. 2016), 0 to 1.
        decay_norm_and_bias: apply weight decay to biases and norm layers too, as He et al. did.
        channels_last: memory format of the network; the fastest on CPUs and on GPUs' tensor cores.
        compile: compile the network with TorchInductor; names in checkpoints stay the same.
        seed: of dropout and the like, drawn anew each epoch so that a resumed run goes on alike.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        num_classes: int,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        interval: str = "step",
        monitor: str | None = None,
        label_smoothing: float = 0.0,
        decay_norm_and_bias: bool = True,
        channels_last: bool = True,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if interval not in ("step", "epoch"):
            raise ValueError(f"scheduler.interval={interval}: use step or epoch")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing={label_smoothing}: use 0 up to below 1")
        self.net = net.to(memory_format=torch.channels_last) if channels_last else net
        if compile:
            self.net.compile()
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.monitor = monitor
        self.label_smoothing = label_smoothing
        self.decay_norm_and_bias = decay_norm_and_bias
        self.seed = seed
        self.train_sums = ClassificationSums(num_classes)
        self.val_sums = ClassificationSums(num_classes)
        self.test_sums = ClassificationSums(num_classes)

    def check(self, facts: Facts, *, validates: bool) -> None:
        """Hold the network and `monitor` to the data, before training starts.

        Args:
            facts: of the data.
            validates: whether there is a validation split.

        Raises:
            ValueError: the network does not take such images or does not give a logit per class, or
                no metric is called `monitor`.
        """
        kinds = ["loss", "acc"] + ["acc_top5"] * (len(facts["classes"]) >= TOP5_FROM)
        splits = ("val", "train") if validates else ("train",)
        names = [f"{split}/{kind}" for split in splits for kind in kinds]
        if self.monitor not in names:
            raise ValueError(f"monitor={self.monitor}: no metric has that name; use {_list(names)}")
        shape = (facts["channels"], facts["image_size"], facts["image_size"])
        training = self.net.training
        try:
            with torch.no_grad():
                logits = self.net.eval()(torch.zeros(1, *shape))
        except (RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise ValueError(
                f"the model does not take images of {_list(shape, ' x ')} "
                f"(channels, height, width): {text}"
            ) from error
        finally:
            self.net.train(training)
        if logits.shape != (1, len(facts["classes"])):
            raise ValueError(
                f"the model gives {_list(logits.shape[1:], ' x ')} outputs for the "
                f"{len(facts['classes'])} classes of {facts['name']}: leave model.num_classes to "
                "data.num_classes"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, num_classes] of normalised images, float32 [B, C, H, W]."""
        logits: Tensor = self.net(images)
        return logits

    def on_train_epoch_start(self) -> None:
        """Seed what the network draws, by epoch and rank."""
        self.train_sums.reset()
        torch.manual_seed(derive_seed(self.seed, self.current_epoch, self.global_rank))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, labels = batch
        logits = self(images).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        with torch.no_grad():
            self.train_sums.update(logits, labels)
            if (batch_idx + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
                accuracy = (logits.argmax(1) == labels).float().mean()
                self.log("train/loss_step", loss.detach(), batch_size=len(labels), prog_bar=True)
                self.log("train/acc_step", accuracy, batch_size=len(labels))
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training metrics, taken while the network learned."""
        self._log_sums("train", self.train_sums)

    def on_validation_epoch_start(self) -> None:
        """Begin new sums; they stay afterwards for whoever asks."""
        self.val_sums.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add a batch to the validation metrics."""
        self.val_sums.update(self(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_sums("val", self.val_sums)

    def on_test_epoch_start(self) -> None:
        """Begin new sums; they stay afterwards for whoever asks."""
        self.test_sums.reset()

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add a batch to the test metrics."""
        self.test_sums.update(self(batch[0]), batch[1])

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_sums("test", self.test_sums)

    def _log_sums(self, split: str, sums: ClassificationSums) -> None:
        values = {
            f"{split}/{name}": value for name, value in sums.compute().items() if value.ndim == 0
        }
        if not torch.isfinite(values[f"{split}/loss"]):
            raise ValueError(
                f"{split}/loss is {float(values[f'{split}/loss'])} in epoch {self.current_epoch}: "
                "the training diverged; lower optimizer.lr, lengthen scheduler.warmup, or set "
                "trainer.gradient_clip_val"
            )
        for name, value in values.items():
            # compute() has added the devices up; sync_dist tells Lightning that they agree.
            self.log(name, value, prog_bar=name == "val/acc", sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and scheduler, with the length of the run filled in."""
        assert self.optimizer is not None, "an optimizer is needed to train"
        optimizer = self.optimizer(self._parameter_groups())
        if self.scheduler is None:
            return optimizer
        total = int(self.trainer.estimated_stepping_batches)
        if self.interval == "epoch":
            assert self.trainer.max_epochs is not None
            total = self.trainer.max_epochs
        given = self.scheduler.keywords if isinstance(self.scheduler, partial) else {}
        fill = {
            name: total
            for name in inspect.signature(self.scheduler).parameters
            if name in ("total_steps", "T_max", "total_iters") and name not in given
        }
        config: dict[str, Any] = {
            "scheduler": self.scheduler(optimizer, **fill),
            "interval": self.interval,
            "name": "lr",
        }
        if self.monitor is not None:
            config["monitor"] = self.monitor
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def _parameter_groups(self) -> list[dict[str, Any]]:
        trained = [p for p in self.net.parameters() if p.requires_grad]
        if self.decay_norm_and_bias:
            return [{"params": trained}]
        # Biases and the scales and shifts of norm layers are the parameters of one dimension.
        return [
            {"params": [p for p in trained if p.ndim > 1]},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the facts of the data, as plain types."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            checkpoint["data"] = dict(datamodule.facts())


def load_weights(task: ImageClassifier, state: Mapping[str, Tensor], source: str) -> None:
    """Load a checkpoint's weights, strictly.

    Args:
        task: that receives them.
        state: by names that begin with `net.`.
        source: where they come from, for the message.

    Raises:
        ValueError: names or shapes differ; the first of each kind are named.
    """
    own = task.state_dict()
    shapes = [
        f"{key} is {_list(state[key].shape, ' x ')} there and {_list(own[key].shape, ' x ')} here"
        for key in own.keys() & state.keys()
        if own[key].shape != state[key].shape
    ]
    problems = [
        f"{what} {_list(sorted(keys)[:3])}"
        + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        for what, keys in (
            ("it lacks", own.keys() - state.keys()),
            ("it has besides", state.keys() - own.keys()),
            ("shapes differ:", shapes),
        )
        if keys
    ]
    if problems:
        raise ValueError(f"{source} is of another network: {'; '.join(problems)}")
    task.load_state_dict(state)


def _list(items: Iterable[object], separator: str = ", ") -> str:
    return separator.join(str(item) for item in items)
