"""Time other training loops: Lightning's own, and a run with a network that costs nothing."""

import statistics

import torch
from lightning.pytorch import LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed.loader import loader_rate
from resnet_lab.measuring.loops import Clock, timed_training
from resnet_lab.measuring.subject import Subject


def step_overhead(subject: Subject, repeats: int, steps: int = 200) -> dict[str, float]:
    """Compare the loops around a network that costs nothing, in milliseconds a step.

    Args:
        subject: whose data and options are used.
        repeats: half the epochs of each loop.
        steps: of an epoch.

    Returns:
        Of `lightning`'s bare loop and of `ours`, a whole run; their `difference`; medians of `n`;
        and how much of it is `input`: choosing, augmenting and normalising a batch.
    """
    free = subject.cfg.copy()
    free.model = {
        "_target_": f"{__name__}.free_network",
        "num_classes": free.data.num_classes,
        "in_channels": free.data.channels,
    }
    free.trainer.accelerator, free.trainer.precision = "cpu", "32-true"
    free.callbacks.tensorboard.graph = False
    net = free_network(free.data.num_classes, free.data.channels)
    batch = subject.batch[0].cpu(), subject.batch[1].cpu()
    clock = timed_training(
        free, steps, 2 * repeats, other=lambda: lightning_rate(net, batch, steps)
    )
    theirs, ours = [1e3 / rate for rate in clock.others], [1e3 / rate for rate in clock.rates]
    delivered = [loader_rate(subject.data, 0.5) for _ in range(repeats)]
    return {
        "lightning": statistics.median(theirs),
        "ours": statistics.median(ours),
        "difference": statistics.median(b - a for a, b in zip(theirs, ours, strict=True)),
        "input": 1e3 * free.data.batch_size / statistics.median(delivered),
        "n": len(ours),
    }


def trainer_rate(cfg: DictConfig, steps: int, epochs: int = 1) -> float:
    """Return the median images/s of epochs of `timed_training`."""
    rates = timed_training(cfg, steps, epochs).rates
    return statistics.median(rates) * int(cfg.data.batch_size)


class _Plain(LightningModule):
    """Lightning's own loop with nothing in it: no metric, no log."""

    def __init__(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.net, self.batch = net, batch

    def training_step(self, batch: object, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(self.batch[0]), self.batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def lightning_rate(net: nn.Module, batch: tuple[Tensor, Tensor], steps: int) -> float:
    """Return steps/s of Lightning's bare loop: no logger, metric, checkpoint or progress bar."""
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, limit_train_batches=steps, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[clock],
    )  # fmt: skip
    trainer.fit(_Plain(net, batch), range(steps))
    (rate,) = clock.rates
    return rate


def free_network(num_classes: int, in_channels: int) -> nn.Module:
    """Return a network that costs next to nothing: one linear layer on the mean of each channel."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
