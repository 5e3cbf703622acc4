"""The LightningModule that every task shares; what a task adds is one short file beside it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric

from resnet_lab.core.seeds import derive_seed
from resnet_lab.data.facts import Facts
from resnet_lab.training.epoch_progress import restore_progress, save_progress
from resnet_lab.training.losses import check_loss
from resnet_lab.training.measured_task import MeasuredTask
from resnet_lab.training.metrics import is_logged, write_now
from resnet_lab.training.mixing import LossSum, Mixer, mix
from resnet_lab.training.parameter_groups import (
    freeze_parameters,
    freeze_statistics,
    parameter_groups,
)
from resnet_lab.training.preparing.network_check import check_network, compile_mode
from resnet_lab.training.preparing.optimisation import build_optimizer, scheduler_config


class ImageTask(MeasuredTask):
    """Train a network on labelled images.

    Metrics stay on the device as sums. They are logged once an epoch as `train/loss`, `train/acc`,
    `val/...` and `test/...`, and every `log_every_n_steps` as `train/loss_step` and the like:
    logging and a metric update at every step would double the step time of a small network.

    With `mix` a training image has the labels of two, so `train/loss`, the optimised loss of the
    mixed batches, is the only training metric.

    What its labels are, a task says by the methods of `MeasuredTask`.

    Args:
        net: any network from float32 [B, C, H, W] to logits [B, num_classes].
        num_classes: number of classes, labels or numbers: of the network's outputs.
        optimizer: called with parameter groups, returns an optimizer.
        scheduler: called with the optimizer, returns a learning-rate scheduler; None: a constant
            learning rate. The length of the run is filled in, see `scheduler_config`.
        interval: what one step of the scheduler is, "step" or "epoch".
        monitor: metric that decides what is best, and that a plateau scheduler watches.
        monitor_mode: its direction, "min" or "max".
        label_smoothing: of the training loss (Szegedy et al. 2016), 0 to 1.
        loss: of (logits, labels), a mean over the batch, in place of the task's own; `val/loss` and
            `test/loss` are then this loss too.
        mix: mixers of training batches by name, see `resnet_lab.training.mixing`; each batch draws
            one of them. None leaves one out.
        decay_norm_and_bias: apply weight decay to biases and norm layers too, as He et al. did.
        freeze: "backbone" trains the head alone: the backbone keeps its weights, and its batch
            norms their statistics.
        backbone_lr: learning rate of the backbone, as a factor on the optimizer's.
        channels_last: memory format of weights, images and activations: channels_last, the fastest
            on CPUs and on GPUs' tensor cores, or contiguous.
        compile: compile the network with TorchInductor, or name one of `COMPILE_MODES`; names in
            checkpoints stay the same.
        seed: of dropout and the like, set anew each epoch so that a resumed run draws the same.
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
        monitor_mode: str | None = None,
        label_smoothing: float = 0.0,
        loss: nn.Module | None = None,
        mix: Mapping[str, Mixer | None] | None = None,
        decay_norm_and_bias: bool = True,
        freeze: str | None = None,
        backbone_lr: float = 1.0,
        channels_last: bool = True,
        compile: bool | str = False,
        seed: int = 0,
    ) -> None:
        super().__init__(num_classes, loss)
        if interval not in ("step", "epoch"):
            raise ValueError(f"scheduler.interval={interval}: must be step or epoch")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing={label_smoothing}: must be >= 0 and < 1")
        if label_smoothing and loss is not None:
            raise ValueError(
                f"task.label_smoothing={label_smoothing} is of the default loss: set it to 0; "
                "loss=cross_entropy has loss.label_smoothing"
            )
        freeze_parameters(net, freeze, backbone_lr)
        self.net = net.to(memory_format=torch.channels_last) if channels_last else net
        self.channels_last = channels_last
        self.compiled = compile
        if compile:
            self.net.compile(mode=compile_mode(compile))
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.monitor = monitor
        self.monitor_mode = monitor_mode
        self.label_smoothing = label_smoothing
        self.mixers = tuple(mixer for mixer in (mix or {}).values() if mixer is not None)
        self.decay_norm_and_bias = decay_norm_and_bias
        self.frozen = freeze == "backbone"
        self.backbone_lr = backbone_lr
        self.seed = seed
        self.latest: dict[str, Tensor] = {}  # of the last step, for the progress bar
        self._progress: dict[str, Any] = {}
        if self.mixers:
            self.train_sums = LossSum()

    def add_metrics(
        self, metrics: Mapping[str, Metric], splits: Mapping[str, Sequence[str]]
    ) -> None:
        """Measure further metrics; see `FurtherMetrics`."""
        super().add_metrics(metrics, splits)
        if self.mixers and self.further.of("train"):
            raise ValueError("metrics: mixed images have no one label: leave train out of splits")

    def check(self, facts: Facts, labels: Tensor | None = None) -> None:
        """Check the network and the loss against the data, before training starts.

        A loss that has the method `balance` is given the labels of the training images. Raises a
        ValueError if the network, the loss or the task does not fit the data.
        """
        self.classes = facts["classes"]
        check_network(self.net, facts)
        if labels is not None:
            self.check_labels(labels)
            if self.loss is not None:
                check_loss(self.loss, labels, self.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, num_classes] of normalised images, float32 [B, C, H, W]."""
        logits: Tensor = self.net(self.arrange(images))
        return logits

    def arrange(self, images: Tensor) -> Tensor:
        """Return images in the type and the memory format that the network computes in.

        Activations follow the format of the images, whatever the format of the weights is.
        """
        images = images.to(self.dtype)
        if self.channels_last:
            return images.to(memory_format=torch.channels_last)
        # Not `contiguous`: it keeps the strides of images of one channel, and torch goes by those.
        return images.reshape(-1).view(images.shape)

    def on_train_epoch_start(self) -> None:
        """Seed dropout and the like, by epoch and rank."""
        compile_mode(self.compiled, self.trainer.accumulate_grad_batches)  # it may change
        self._begin("train")
        torch.manual_seed(derive_seed(self.seed, self.current_epoch, self.global_rank))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        mixed = None
        if self.mixers and not self.trainer.overfit_batches:  # type: ignore[attr-defined]
            seed = derive_seed(self.seed, self.current_epoch, batch_idx, self.global_rank)
            mixed = mix(self.mixers, images, seed)
            images = mixed.images
        logits = self(images)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = self._loss(logits, labels, self.label_smoothing)
        if mixed is not None:
            other = self._loss(logits, labels[mixed.partner], self.label_smoothing)
            loss = mixed.share * loss + (1 - mixed.share) * other
        with torch.no_grad():
            if self.mixers:
                self.train_sums.update(loss)
            else:  # smoothed, the loss is not the cross-entropy
                self._add("train", logits, labels, None if self.label_smoothing else loss)
            self.latest["train/loss_step"] = loss.detach()
            if is_logged(self, batch_idx):
                values = {"train/loss_step": loss}
                self.log("train/loss_step", loss.detach(), logger=False)  # for callbacks
                if mixed is None:
                    values |= self.step_values(logits, labels)
                write_now(self, values, self.global_step)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training metrics, taken while the network learned."""
        self._end("train")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and scheduler, with the length of the run filled in."""
        assert self.optimizer is not None, "an optimizer is needed to train"
        groups = parameter_groups(
            self.net, backbone_lr=self.backbone_lr, decay_norm_and_bias=self.decay_norm_and_bias
        )
        of_loss = [] if self.loss is None else list(self.loss.parameters())
        if of_loss:
            groups.append({"params": of_loss, "lr_scale": 1.0})
        optimizer = build_optimizer(self.optimizer, groups)
        if isinstance(optimizer, torch.optim.LBFGS) and self.channels_last:
            raise ValueError(
                "optimizer: LBFGS needs contiguous weights: set task.channels_last=false"
            )
        if self.scheduler is None:
            return optimizer
        per_step, trainer = self.interval == "step", self.trainer
        total = int(trainer.estimated_stepping_batches if per_step else trainer.max_epochs or 0)
        config = scheduler_config(
            self.scheduler, optimizer, total, self.interval, self.monitor, self.monitor_mode
        )
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a scheduler; a ReduceLROnPlateau is stepped by `callbacks.record.step_plateaus`."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_train_start(self) -> None:
        """Keep the statistics of a frozen backbone; resume an epoch where a checkpoint left it."""
        if self.frozen:
            freeze_statistics(self.net)
        if self._progress:
            restore_progress(self, self.train_sums, self._progress)
            if self.global_rank == 0:  # the sums are those of all processes
                self.further.restore("train", self._progress.get("further", {}), self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._progress = checkpoint.get("progress", {})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the progress of the epoch and the facts of the data, as plain types."""
        progress = save_progress(self, self.train_sums)
        checkpoint["progress"] = {**progress, "further": self.further.state("train")}
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            checkpoint["data"] = dict(datamodule.facts())
