"""The one LightningModule around any image classifier."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from resnet_lab.core.building import errors_of
from resnet_lab.data.loader import derive_seed
from resnet_lab.data.module import Facts
from resnet_lab.data.pixels import sides
from resnet_lab.training.finetune import keep_statistics, parameter_groups, prepare
from resnet_lab.training.metrics import ClassificationSums
from resnet_lab.training.mixing import LossSum, Mixer, mix

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
CUDA_GRAPHS = ("reduce-overhead", "max-autotune")  # the modes that replay steps as CUDA graphs


def compile_mode(compile: bool | str, accumulate: int = 1) -> str | None:
    """Return the mode of torch.compile that `task.compile` names, if it names one.

    Args:
        compile: true, false or a mode.
        accumulate: batches whose gradients are added up for a step. CUDA graphs write a gradient
            over the one before (pytorch/pytorch#96693, #169545).

    Raises:
        ValueError: there is no such mode, or its gradients would be wrong.
    """
    if compile in CUDA_GRAPHS and accumulate > 1:
        raise ValueError(
            f"task.compile={compile} gives wrong gradients with "
            f"trainer.accumulate_grad_batches={accumulate}: use task.compile=true"
        )
    if isinstance(compile, bool):
        return None
    if compile not in COMPILE_MODES:
        raise ValueError(f"task.compile={compile}: use true, false, {_list(COMPILE_MODES)}")
    return compile


class ImageClassifier(LightningModule):
    """Train a network on labelled images with cross-entropy.

    Metrics stay on the device as sums. They are logged once an epoch as `train/loss`, `train/acc`,
    `val/...` and `test/...`, and every `log_every_n_steps` as `train/loss_step`, `train/acc_step`:
    logging and a metric update at every step would double the step time of a small network.

    With `mix` there is no training accuracy, for a mixed image is of no one class, and `train/loss`
    is what was optimised: of the mixed batches, label smoothing included.

    Args:
        net: any network from float32 [B, C, H, W] to logits [B, num_classes].
        num_classes: number of classes.
        optimizer: called with parameter groups, returns an optimizer.
        scheduler: called with the optimizer, returns a learning-rate scheduler; None: a constant
            rate. Its arguments `total_steps`, `T_max` and `total_iters`, where it has them and they
            are not given, are filled with the length of the run.
        interval: what one step of the scheduler is, "step" or "epoch".
        monitor: metric that decides what is best, and that a plateau scheduler watches.
        monitor_mode: its direction, "min" or "max".
        label_smoothing: of the training loss (Szegedy et al. 2016), 0 to 1.
        mix: mixers of training batches by name, see `resnet_lab.training.mixing`; of several, each
            batch draws one. One that is None is left out.
        decay_norm_and_bias: apply weight decay to biases and norm layers too, as He et al. did.
        freeze: "trunk" trains the classifier alone: all else keeps its weights, and its norms their
            statistics.
        trunk_lr: rate of everything but the classifier, as a factor on the optimizer's.
        channels_last: memory format of weights, images and activations: channels_last, the fastest
            on CPUs and on GPUs' tensor cores, or contiguous.
        compile: compile the network with TorchInductor, in one of `COMPILE_MODES` if it is named;
            names in checkpoints stay the same.
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
        monitor_mode: str | None = None,
        label_smoothing: float = 0.0,
        mix: Mapping[str, Mixer | None] | None = None,
        decay_norm_and_bias: bool = True,
        freeze: str | None = None,
        trunk_lr: float = 1.0,
        channels_last: bool = True,
        compile: bool | str = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if interval not in ("step", "epoch"):
            raise ValueError(f"scheduler.interval={interval}: use step or epoch")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing={label_smoothing}: use 0 up to below 1")
        prepare(net, freeze, trunk_lr)
        self.net = net.to(memory_format=torch.channels_last) if channels_last else net
        self.channels_last = channels_last
        self.compiled = compile
        mode = compile_mode(compile)
        if compile:
            self.net.compile(mode=mode)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.monitor = monitor
        self.monitor_mode = monitor_mode
        self.label_smoothing = label_smoothing
        self.mixers = tuple(mixer for mixer in (mix or {}).values() if mixer is not None)
        self.decay_norm_and_bias = decay_norm_and_bias
        self.frozen = freeze == "trunk"
        self.trunk_lr = trunk_lr
        self.seed = seed
        self.latest: dict[str, Tensor] = {}  # of the last step, for whoever shows them
        self._progress: dict[str, Any] = {}
        self.train_sums: Metric = LossSum() if self.mixers else ClassificationSums(num_classes)
        self.val_sums = ClassificationSums(num_classes)
        self.test_sums = ClassificationSums(num_classes)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; Lightning notes forty times a step which hook it is in."""
        if name == "_current_fx_name":  # torch looks closely at what it is given
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def check(self, facts: Facts, *, validates: bool) -> None:
        """Hold the network and `monitor` to the data, before training starts.

        Args:
            facts: of the data.
            validates: whether there is a validation split.

        Raises:
            ValueError: the network does not take such images or does not give a logit per class, or
                no metric is called `monitor`.
        """
        splits = ("val", "train") if validates else ("train",)
        names = [name for split in splits for name in self.metric_names(split)]
        if self.monitor not in names:
            raise ValueError(f"monitor={self.monitor}: no metric has that name; use {_list(names)}")
        shape = (facts["channels"], *sides(facts["image_size"]))
        training = self.net.training
        try:
            # Eagerly: what is compiled for one image first is compiled for any number afterwards.
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
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

    def metric_names(self, split: str) -> list[str]:
        """Return the names of the metrics of a split: "train", "val" or "test"."""
        kinds = ["loss"]
        if split != "train" or not self.mixers:
            kinds += ["acc"] + ["acc_top5"] * self.val_sums.top5
        return [f"{split}/{kind}" for kind in kinds]

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
        """Seed what the network draws, by epoch and rank."""
        compile_mode(self.compiled, self.trainer.accumulate_grad_batches)  # it may change
        self.train_sums.reset()
        torch.manual_seed(derive_seed(self.seed, self.current_epoch, self.global_rank))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, labels = batch
        mixed = None
        if self.mixers and not self.trainer.overfit_batches:  # type: ignore[attr-defined]
            seed = derive_seed(self.seed, self.current_epoch, batch_idx, self.global_rank)
            mixed = mix(self.mixers, images, seed)
            images = mixed.images
        logits = self(images)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = self._loss(logits, labels)
        if mixed is not None:
            other = self._loss(logits, labels[mixed.partner])
            loss = mixed.share * loss + (1 - mixed.share) * other
        with torch.no_grad():
            if self.mixers:
                self.train_sums.update(loss)
            else:  # smoothed, the loss is not the cross-entropy
                self.train_sums.update(logits, labels, None if self.label_smoothing else loss)
            self.latest["train/loss_step"] = loss.detach()
            if self._logs(batch_idx):
                values = {"train/loss_step": loss}
                if mixed is None:
                    values["train/acc_step"] = (logits.argmax(1) == labels).float().mean()
                self._write(values, self.global_step)
        return loss

    def _logs(self, batch_idx: int) -> bool:
        """Whether this is the batch of a step that is logged."""
        trainer = self.trainer
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or (self.global_step + 1) % every:
            return False
        return not (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch

    def _write(self, values: Mapping[str, Tensor], step: int) -> None:
        """Hand values to the loggers, now.

        What `self.log` is given, Lightning hands on when it is its turn. Of a step: with the number
        of a later one, and after it has waited at each step until the GPU has nothing left to do.
        Of an epoch: after the checkpoint, so that a kill between the two would lose the values.
        """
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            numbers = {name: float(value) for name, value in values.items()}
            for logger in self.loggers:
                logger.log_metrics({**numbers, "epoch": self.current_epoch}, step)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

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

    def _log_sums(self, split: str, sums: Metric) -> None:
        values = {
            f"{split}/{name}": value for name, value in sums.compute().items() if value.ndim == 0
        }
        loss = float(values[f"{split}/loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"{split}/loss is {loss} in epoch {self.current_epoch + 1}: the training "
                "diverged; lower optimizer.lr, lengthen scheduler.warmup, or set "
                "trainer.gradient_clip_val"
            )
        for name, value in values.items():
            # compute() has added the devices up; sync_dist tells Lightning that they agree.
            self.log(name, value, prog_bar=name == "val/acc", sync_dist=True, logger=False)
        # Steps count from 0: the last one's row is of the weights that it left.
        self._write(values, self.global_step - (split != "test"))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and scheduler, with the length of the run filled in."""
        assert self.optimizer is not None, "an optimizer is needed to train"
        groups = parameter_groups(
            self.net, trunk_lr=self.trunk_lr, decay_norm_and_bias=self.decay_norm_and_bias
        )
        with errors_of("optimizer"):
            optimizer = self.optimizer(groups)
        for group in optimizer.param_groups:
            group["lr"] *= group["lr_scale"]
        if self.scheduler is None:
            return optimizer
        total = int(self.trainer.estimated_stepping_batches)
        if self.interval == "epoch":
            assert self.trainer.max_epochs is not None
            total = self.trainer.max_epochs
        given = self.scheduler.keywords if isinstance(self.scheduler, partial) else {}
        fill: dict[str, Any] = {
            name: total
            for name in inspect.signature(self.scheduler).parameters
            if name in ("total_steps", "T_max", "total_iters") and name not in given
        }
        if isinstance(given.get("max_lr"), int | float):  # of all groups alike, unless it is a list
            fill["max_lr"] = [given["max_lr"] * g["lr_scale"] for g in optimizer.param_groups]
        if _target(self.scheduler) is ReduceLROnPlateau:
            fill.update(self._plateau(given))
        with errors_of("scheduler"):
            scheduler = self.scheduler(optimizer, **fill)
        config: dict[str, Any] = {
            "scheduler": scheduler,
            "interval": self.interval,
            "name": "lr",
        }
        if self.monitor is not None:
            config["monitor"] = self.monitor
        config["reduce_on_plateau"] = (
            False  # Lightning's is late: see `callbacks.record.step_plateaus`
        )
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def _plateau(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `mode` of a ReduceLROnPlateau: the direction of `monitor`."""
        if self.interval != "epoch":
            raise ValueError(
                f"scheduler.interval={self.interval}: ReduceLROnPlateau looks at {self.monitor} "
                "once an epoch: use scheduler.interval=epoch"
            )
        if self.monitor_mode is None:
            raise ValueError("ReduceLROnPlateau needs a monitor and its direction, monitor_mode")
        if given.get("mode", self.monitor_mode) != self.monitor_mode:
            raise ValueError(
                f"scheduler.mode={given['mode']}, but the direction of monitor={self.monitor} is "
                f"{self.monitor_mode}: leave scheduler.mode out"
            )
        return {"mode": self.monitor_mode}

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a scheduler; a ReduceLROnPlateau is stepped by `callbacks.record.step_plateaus`."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients if asked; Lightning's own takes a while to find out that it is not."""
        if gradient_clip_val is not None:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )

    def on_train_start(self) -> None:
        """Take up an epoch where a checkpoint left it; keep the statistics of a frozen trunk."""
        if self.frozen:
            keep_statistics(self.net)
        if self._progress:
            if self.global_rank == 0:  # the sums are those of all processes
                for name, value in self._progress["sums"].items():
                    setattr(self.train_sums, name, value.to(self.device))
            self.train_sums._update_count = 1  # or a compute() of them alone warns
            own = self.global_rank % len(self._progress["rng"])
            # torch crashes on a state that is part of a larger tensor.
            torch.set_rng_state(self._progress["rng"][own].clone().cpu())
            if self.device.type == "cuda":
                cuda_rng = self._progress["cuda_rng"][own].clone().cpu()
                torch.cuda.set_rng_state(cuda_rng, self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `on_train_start` needs."""
        self._progress = checkpoint.get("progress", {})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the facts of the data, as plain types, and what an epoch under way has."""
        with self.train_sums.sync_context():
            names = self.train_sums._defaults
            sums = {name: getattr(self.train_sums, name).clone() for name in names}
        checkpoint["progress"] = {"sums": sums, "rng": self._of_all(torch.get_rng_state())}
        if self.device.type == "cuda":
            rng = torch.cuda.get_rng_state(self.device)
            checkpoint["progress"]["cuda_rng"] = self._of_all(rng)
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            checkpoint["data"] = dict(datamodule.facts())

    def _of_all(self, state: Tensor) -> Tensor:
        """Gather a tensor [N] from each process of the run: [processes, N]."""
        if self.trainer.world_size == 1:
            return state[None]
        return torch.stack(gather_all_tensors(state.to(self.device))).cpu()


def _target(function: Callable[..., Any]) -> Callable[..., Any]:
    return function.func if isinstance(function, partial) else function


def _list(items: Iterable[object], separator: str = ", ") -> str:
    return separator.join(str(item) for item in items)
