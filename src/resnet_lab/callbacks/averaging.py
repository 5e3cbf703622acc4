"""Average the weights during training: EMA and SWA. The average is validated, kept and tested."""

import itertools
import sys
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn, update_bn


class Average(WeightAveraging):
    """Lightning's WeightAveraging: the average replaces the weights, except in training steps.

    It is used in validation, in `state_dict` of the checkpoints (which keep the weights themselves
    too, to resume from) and after training. Unlike upstream, the average is on the device that
    trains, batch norm statistics are averaged while their count of batches is copied, and a test
    uses the average also when it loads best.ckpt, or when the run was killed just before it.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if sum(isinstance(callback, Average) for callback in trainer.callbacks) > 1:  # type: ignore[attr-defined]
            raise ValueError("callbacks.ema and callbacks.swa both average the weights: use one")
        super().setup(trainer, pl_module, stage)
        if stage == "fit":  # Lightning moves the weights there later
            self.average.to(trainer.strategy.root_device)

    @property
    def average(self) -> nn.Module:
        """The task with the averaged weights."""
        assert self._average_model is not None
        average: nn.Module = self._average_model.module
        return average

    @property
    def count(self) -> Tensor:
        """The number of weights in the average, int64 [], on the CPU."""
        assert self._average_model is not None
        return self._average_model.n_averaged

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Paired once for all steps.
        pairs = list(zip(_tensors(self.average), _tensors(pl_module), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    def move(self, decay: float) -> None:
        """Set `average = decay * average + (1 - decay) * weights`."""
        averages, weights = zip(*self._floats, strict=True)
        get_ema_multi_avg_fn(decay)(list(averages), list(weights), 0)  # type: ignore[no-untyped-call]
        if self._counts:
            averages, counts = zip(*self._counts, strict=True)
            torch._foreach_copy_(averages, counts)

    @torch.no_grad()
    def _swap_models(self, pl_module: LightningModule) -> None:
        """Exchange average and weights; upstream's takes three kernels for every tensor."""
        averages, weights = list(_tensors(self.average)), list(_tensors(pl_module))
        kept = [torch.empty_like(average) for average in averages]
        torch._foreach_copy_(kept, averages)
        torch._foreach_copy_(averages, weights)
        torch._foreach_copy_(weights, kept)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore average and weights to resume training; a test loads only the average."""
        if trainer.state.fn == "fit":
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the average to the weights, also in a run that had nothing left to train."""
        self._copy_average_to_current(pl_module)


class EMA(Average):
    """Exponential moving average (Polyak & Juditsky 1992), updated at each step of the optimizer.

    It averages over about `1 / (1 - decay)` steps, and over fewer at the start: step t uses
    `min(decay, (1 + t) / (10 + t))`, or the average of a short run would still contain the initial
    weights.

    Args:
        decay: weight of the past, >= 0 and < 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"callbacks.ema.decay={decay}: must be >= 0 and < 1")
        super().__init__()
        self.decay = decay

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the weights of the step at which an interrupted run was saved."""
        super().on_train_start(trainer, pl_module)
        self._update(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._update(trainer)

    def _update(self, trainer: Trainer) -> None:
        if trainer.global_step > self._latest_update_step:  # the optimizer has taken a step
            step = int(self.count)
            self.move(min(self.decay, (1 + step) / (10 + step)))
            self.count.add_(1)
            self._latest_update_step = trainer.global_step


class SWA(Average):
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the last epochs' weights.

    From `start` on, each epoch ends by adding its weights to the mean and by a forward pass over
    its images that measures the batch norm statistics of the mean. So each epoch is validated and
    kept as if the run ended there: best.ckpt is the best epoch, with the mean of the weights up to
    it, or with its own weights before `start`; last.ckpt has the mean of all of them.
    (Upstream's StochasticWeightAveraging measures once, after the last checkpoint is written.)

    Args:
        start: first epoch that is averaged, as a fraction of the run below 1 or as the number of
            epochs before it.
        hold_lr: keep the learning rate that the schedule has at `start`, as the paper does: weights
            that hardly change have little to average.
    """

    def __init__(self, start: int | float = 0.75, hold_lr: bool = True) -> None:
        super().__init__()
        self.start = start
        self.hold_lr = hold_lr
        self._first = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        epochs = trainer.max_epochs or 0
        self._first = int(self.start)
        if 0 < self.start < 1:
            self._first = min(round(self.start * epochs), epochs - 1)
        if self.start < 0 or self._first != self.start >= 1 or self._first >= epochs:
            raise ValueError(
                f"callbacks.swa.start={self.start}: must be a fraction of the run below 1, or a "
                f"number of epochs below trainer.max_epochs={trainer.max_epochs}"
            )
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._hold(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._hold(trainer)

    def _hold(self, trainer: Trainer) -> None:
        if self.hold_lr and trainer.current_epoch >= self._first:
            for config in trainer.lr_scheduler_configs:
                config.frequency = sys.maxsize  # steps of the run between two of the schedule

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Add the weights of the epoch before its validation."""
        if trainer.is_last_batch:
            self._join(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the weights of an epoch that a limit of steps ended before its last batch."""
        if trainer.current_epoch > self._latest_update_epoch:
            self._join(trainer, pl_module)

    def _join(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._latest_update_epoch = trainer.current_epoch
        joins = trainer.current_epoch >= self._first
        count = int(self.count)
        self.move(count / (count + 1) if joins else 0.0)
        if joins:
            self.count.add_(1)
            self._measure(trainer, pl_module)

    @torch.no_grad()
    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the batch norm statistics of the average, unless the network keeps its own."""
        norms = [module for module in self.average.modules() if isinstance(module, _BatchNorm)]
        if not any(isinstance(m, _BatchNorm) and m.training for m in pl_module.modules()):
            return
        loader: Iterable[Any] = trainer.train_dataloader  # type: ignore[assignment]
        batches = itertools.islice(loader, int(trainer.num_training_batches))
        images = (trainer.strategy.batch_to_device(batch)[0] for batch in batches)
        with trainer.precision_plugin.forward_context():
            update_bn(images, self.average)
        for norm in norms:  # each device has measured its share of the images
            for buffer in (norm.get_buffer("running_mean"), norm.get_buffer("running_var")):
                buffer.copy_(trainer.strategy.reduce(buffer, reduce_op="mean"))


def _tensors(module: nn.Module) -> itertools.chain[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())
