"""Time training loops: Lightning's own, runs of a network that costs nothing, and their growth."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed import in_turn, medians
from benchmarks.speed.loader import loader_rate
from resnet_lab.measuring.loops import Clock, timed_training
from resnet_lab.measuring.random_images import use_random_images
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
        "lightning": median(theirs),
        "ours": median(ours),
        "difference": median(b - a for a, b in zip(theirs, ours, strict=True)),
        "input": 1e3 * free.data.batch_size / median(delivered),
        "n": len(ours),
    }


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


def growth_with_images(
    cfg: DictConfig, counts: Sequence[int], repeats: int = 3
) -> dict[str, float]:
    """Measure microseconds an image, training in a whole run, by the size of the data set.

    Returns:
        The medians of `n` by number of random images, and the `ratio` of the largest to the
        smallest.
    """
    steps = int(0.9 * min(counts)) // cfg.data.batch_size  # that all of them have

    def microseconds(count: int) -> float:
        sized = cfg.copy()
        use_random_images(sized, count)
        return _microseconds(sized, steps, epochs=4)

    costs = _growth(microseconds, counts, repeats)
    return {**costs, "ratio": max(costs.values()) / min(costs.values()), "n": repeats}


def growth_with_depth(cfg: DictConfig, depths: Sequence[int], repeats: int = 3) -> dict[str, float]:
    """Measure microseconds an image, training a CIFAR ResNet in a whole run, by its depth.

    Returns:
        The medians of `n` by depth, and the largest `deviation` from a straight line, relative to
        it.
    """

    def microseconds(depth: int) -> float:
        deep = cfg.copy()
        deep.model.depth = depth
        return _microseconds(deep, 8)

    costs = _growth(microseconds, depths, repeats)
    return {**costs, "deviation": linearity(costs), "n": repeats}


def _microseconds(cfg: DictConfig, steps: int, epochs: int = 1) -> float:
    """Return the time of an image, by the median of the epochs of a run."""
    return 1e6 / median(timed_training(cfg, steps, epochs).rates) / int(cfg.data.batch_size)


def _growth(
    measure: Callable[[int], float], values: Sequence[int], repeats: int
) -> dict[str, float]:
    return medians(in_turn({str(value): partial(measure, value) for value in values}, repeats))


def linearity(costs: Mapping[str, float]) -> float:
    """Return the largest deviation of costs by depth from a straight line, relative to it."""
    depths, values = np.array(list(costs), float), np.array(list(costs.values()))
    line = np.polyval(np.polyfit(depths, values, 1), depths)
    return float(np.abs((values - line) / line).max())
