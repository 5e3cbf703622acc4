"""Time training loops, in steps a second: a bare one, and a whole run."""

import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.core.device import synchronize
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test


@dataclass(eq=False)
class BareLoop:
    """The shortest training loop there is, over one batch in place."""

    net: nn.Module  # on the device of the batch
    optimizer: torch.optim.Optimizer  # of the network
    batch: tuple[Tensor, Tensor]  # images [B, C, H, W] and labels [B]
    precision: str  # as Lightning names it

    def __post_init__(self) -> None:
        dtype = torch.bfloat16 if self.precision.startswith("bf16") else torch.float16
        device, mixed = self.batch[0].device.type, self.precision.endswith("mixed")
        self.mixed = torch.autocast(device, dtype, enabled=mixed)

    def step(self) -> None:
        """Train on the batch."""
        images, labels = self.batch
        with self.mixed:
            loss = F.cross_entropy(self.net(images).float(), labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()

    def rate(self, steps: int, warm_up: int = 2) -> float:
        """Return steps/s of so many, after some to warm up."""
        device = self.batch[1].device
        for _ in range(warm_up):
            self.step()
        synchronize(device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronize(device)
        return steps / (time.perf_counter() - start)


def timed_training(
    cfg: DictConfig,
    steps: int,
    epochs: int = 1,
    blocks: int = 1,
    other: Callable[[], float] | None = None,
) -> "Clock":
    """Train with everything on, as a user does, and measure.

    Args:
        cfg: a composed configuration.
        steps: batches in an epoch, where the data set has as many.
        epochs: that count, after a first one.
        blocks: of an epoch, each timed by itself.
        other: measured after each block. The speed of a shared machine changes by a tenth within a
            second: the shorter the blocks that take turns, the fairer.
    """
    cfg = cfg.copy()
    changes = {"max_epochs": 1 + epochs, "limit_train_batches": steps, "limit_val_batches": 1}
    cfg.trainer = OmegaConf.merge(cfg.trainer, changes)
    cfg.test = None
    clock = Clock(blocks, other)
    with (
        TemporaryDirectory() as folder,
        contextlib.redirect_stdout(_Terminal()),
        ActiveRun.open(Path(folder) / "run", cfg, trust=True) as run,
    ):
        fit_and_test(run, clock)
    return clock


class Clock(Callback):
    """Time training, without validation, in all epochs but the first.

    Args:
        blocks: of an epoch, each timed by itself.
        other: called after each of them, out of the time.
    """

    def __init__(self, blocks: int = 1, other: Callable[[], float] | None = None) -> None:
        self.rates: list[float] = []  # steps/s of each block
        self.others: list[float] = []  # what `other` returned after each
        self.between: list[float] = []  # seconds from epoch to epoch, validation left out
        self.blocks, self.other = blocks, other
        self._start = self._end = self._validation = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self._start = time.perf_counter()
        if trainer.current_epoch > 0:
            self.between.append(self._start - self._end - self._validation)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        length = max(1, int(trainer.num_training_batches) // self.blocks)
        if (batch_idx + 1) % length:
            return
        synchronize(pl_module.device)
        self._end = time.perf_counter()
        if trainer.current_epoch > 0:
            self.rates.append(length / (self._end - self._start))
            if self.other is not None:
                self.others.append(self.other())
        self._start = self._end = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self._validation = -time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self._validation += time.perf_counter()


class _Terminal(io.StringIO):
    """A terminal that nobody sees: the progress bar is drawn in full."""

    def isatty(self) -> bool:
        return True
